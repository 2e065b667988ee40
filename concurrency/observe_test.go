package concurrency

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// says receives the next response of Observe from ch. It checks that the leader's value is want.
func says(tb testing.TB, ch <-chan *clientv3.GetResponse, want string) (createRev int64) {
	tb.Helper()
	select {
	case resp, open := <-ch:
		require.True(tb, open, "the channel is closed, want %q", want)
		require.Len(tb, resp.Kvs, 1)
		require.Equal(tb, want, string(resp.Kvs[0].Value))
		require.GreaterOrEqual(tb, resp.Header.Revision, resp.Kvs[0].ModRevision)
		return resp.Kvs[0].CreateRevision
	case <-time.After(10 * time.Second):
		require.Fail(tb, "no leader is reported", "want %q", want)
		return 0
	}
}

func silent(tb testing.TB, ch <-chan *clientv3.GetResponse) {
	tb.Helper()
	select {
	case resp := <-ch:
		require.Fail(tb, "nothing new was to be reported", "%v", resp)
	case <-time.After(200 * time.Millisecond):
	}
}

func closes(tb testing.TB, ch <-chan *clientv3.GetResponse) {
	tb.Helper()
	select {
	case _, open := <-ch:
		require.False(tb, open)
	case <-time.After(time.Second):
		require.Fail(tb, "the channel is still open")
	}
}

func campaign(tb testing.TB, client *clientv3.Client, pfx, val string) *Election {
	tb.Helper()
	e := NewElection(newSession(tb, client), pfx)
	require.NoError(tb, e.Campaign(tb.Context(), val))
	return e
}

func TestObserveReportsEachLeaderOnce(t *testing.T) {
	client, p := sharedClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	ch := NewElection(newSession(t, client), p).Observe(ctx)
	silent(t, ch)
	first := campaign(t, client, p, "first")
	says(t, ch, "first")
	require.NoError(t, first.Proclaim(t.Context(), "first, again"))
	says(t, ch, "first, again")

	second := NewElection(newSession(t, client), p)
	done := async(func() error { return second.Campaign(t.Context(), "second") })
	require.Eventually(t, func() bool {
		return second.Key() != ""
	}, time.Minute, time.Millisecond, "it has learnt that it stands")
	require.NoError(t, second.Proclaim(t.Context(), "second, waiting"))
	silent(t, ch)
	late := NewElection(newSession(t, client), p).Observe(ctx)
	says(t, late, "first, again")
	require.NoError(t, first.Resign(t.Context()))
	require.NoError(t, result(t, done, time.Minute))
	says(t, ch, "second, waiting")
	says(t, late, "second, waiting")

	require.NoError(t, (&Session{second.s}).Close())
	silent(t, ch)
	campaign(t, client, p, "third")
	says(t, ch, "third")
	says(t, late, "third")
	silent(t, ch)
	cancel()
	closes(t, ch)
	closes(t, late)
}

// TestObserveAcrossAGap cuts the observer's connection while leaders come and go. After it has
// reconnected, the observer reports the present leader, and none of the leaders that it missed.
func TestObserveAcrossAGap(t *testing.T) {
	admin, p := sharedClient(t)
	proxy, client := proxied(t)
	ch := NewElection(newSession(t, client), p).Observe(t.Context())
	cut := func(meanwhile func()) {
		proxy.Refuse()
		proxy.Reset()
		meanwhile()
		proxy.Heal()
	}

	var second, third *Election
	cut(func() {
		first := campaign(t, admin, p, "first")
		second, third = NewElection(newSession(t, admin), p), NewElection(newSession(t, admin), p)
		for i, e := range []*Election{second, third} {
			done := async(func() error {
				return e.Campaign(t.Context(), []string{"second", "third"}[i])
			})
			awaitKeys(t, admin, p, i+2)
			t.Cleanup(func() { _ = result(t, done, time.Minute) })
		}
		require.NoError(t, first.Resign(t.Context()))
		awaitKeys(t, admin, p, 2)
	})
	rev := says(t, ch, "second")
	assert.Equal(t, second.Rev(), rev, "of two candidates it is the one whose key was created first")

	cut(func() { compactAll(t, admin) })
	silent(t, ch)
	cut(func() {
		require.NoError(t, second.Proclaim(t.Context(), "not seen"))
		require.NoError(t, second.Proclaim(t.Context(), "latest"))
		compactAll(t, admin)
	})
	says(t, ch, "latest")
	cut(func() {
		require.NoError(t, second.Resign(t.Context()))
		compactAll(t, admin)
	})
	says(t, ch, "third")
	require.NoError(t, third.Proclaim(t.Context(), "third, again"))
	says(t, ch, "third, again")
}

// TestObserveRequiresALeader checks that the watch of Observe requires a leader, so that a member
// without a leader ends it.
func TestObserveRequiresALeader(t *testing.T) {
	fake, client := newFake(t)
	e := campaign(t, client, "election", "first")
	ch := e.Observe(t.Context())
	says(t, ch, "first")
	watchRequiresALeader(t, fake)
	fake.Break("Watch", rpctypes.ErrGRPCNoLeader)
	require.NoError(t, e.Proclaim(t.Context(), "second"))
	says(t, ch, "second")
}

// TestObserveNeedsNoSession shows that Observe works with a session whose lease does not exist and
// is not renewed. The election service of the etcd server uses Observe in this way.
func TestObserveNeedsNoSession(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client, WithLease(-1))
	s.Orphan()
	e := NewElection(s, p)
	ch := e.Observe(t.Context())
	campaign(t, client, p, "leader")
	says(t, ch, "leader")
	assert.Equal(t, "leader", leaderValue(t, e))
}

func TestObserveEnds(t *testing.T) {
	client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints()})
	require.NoError(t, err)
	ch := NewElection(newSession(t, client), t.Name()).Observe(t.Context())
	require.NoError(t, client.Close())
	closes(t, ch)

	fake, client := newFake(t)
	fake.Fail("Range", 1000, status.Error(codes.PermissionDenied, "etcdserver: permission denied"))
	closes(t, NewElection(newSession(t, client), "election").Observe(t.Context()))
}
