package concurrency

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

func leaderValue(tb testing.TB, e *Election) string {
	tb.Helper()
	resp, err := e.Leader(tb.Context())
	require.NoError(tb, err)
	require.Len(tb, resp.Kvs, 1)
	return string(resp.Kvs[0].Value)
}

func TestElectionWithAndWithoutACandidacy(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client)
	e := NewElection(s, p+"e")
	_, err := e.Leader(t.Context())
	assert.Equal(t, ErrElectionNoLeader, err)
	assert.Equal(t, ErrElectionNotLeader, e.Proclaim(t.Context(), "no"))
	assert.NoError(t, e.Resign(t.Context()))
	assert.Empty(t, e.Key())
	assert.Zero(t, e.Rev())
	assert.Nil(t, e.Header())

	require.NoError(t, e.Campaign(t.Context(), "one"))
	assert.Equal(t, fmt.Sprintf("%se/%x", p, s.Lease()), e.Key())
	assert.Equal(t, e.Header().Revision, e.Rev())
	assert.Equal(t, "one", leaderValue(t, e))
	require.NoError(t, e.Proclaim(t.Context(), "two"))
	assert.Equal(t, "two", leaderValue(t, e))
	rev := e.Rev()
	assert.Greater(t, e.Header().Revision, rev)
	require.NoError(t, e.Campaign(t.Context(), "three"), "again")
	assert.Equal(t, "three", leaderValue(t, e))
	assert.Equal(t, rev, e.Rev())

	require.NoError(t, e.Resign(t.Context()))
	assert.Empty(t, e.Key())
	assert.Equal(t, rev, e.Rev())
	assert.Empty(t, keysUnder(t, client, p))
	assert.NoError(t, e.Resign(t.Context()), "twice")
	assert.Equal(t, ErrElectionNotLeader, e.Proclaim(t.Context(), "no"))
	require.NoError(t, e.Campaign(t.Context(), "four"))
	assert.Greater(t, e.Rev(), rev)
}

func TestResumeElection(t *testing.T) {
	client, p := sharedClient(t)
	before := NewElection(newSession(t, client), p)
	require.NoError(t, before.Campaign(t.Context(), "before"))
	(&Session{before.s}).Orphan()
	s := newSession(t, newClient(t, shared.Endpoints()...), WithLease((&Session{before.s}).Lease()))
	e := ResumeElection(s, p, before.Key(), before.Rev())
	assert.Equal(t, before.Key(), e.Key())
	assert.Equal(t, before.Rev(), e.Rev())
	require.NoError(t, e.Proclaim(t.Context(), "after"))
	assert.Equal(t, "after", leaderValue(t, e))
	require.NoError(t, e.Resign(t.Context()))
	assert.Equal(t, ErrElectionNotLeader, before.Proclaim(t.Context(), "no"))
	assert.Empty(t, before.Key(), "it has found out")
	assert.Equal(t, ErrElectionNotLeader, ResumeElection(s, p, before.Key(),
		1).Proclaim(t.Context(), "no"))
}

// standsFor makes another session the leader, and starts a Campaign of e, which waits for the end
// of that leadership. It returns the leader, and the channel to which the Campaign sends its
// result.
func standsFor(
	t *testing.T, admin *clientv3.Client, e *Election, ctx context.Context,
) (leader *Election, done <-chan error) {
	t.Helper()
	leader = NewElection(newSession(t, admin), e.pfx[:len(e.pfx)-1])
	require.NoError(t, leader.Campaign(t.Context(), "leader"))
	done = async(func() error { return e.Campaign(ctx, "candidate") })
	awaitKeys(t, admin, e.pfx, 2)
	require.Eventually(t, func() bool { return e.Key() != "" }, time.Minute, time.Millisecond)
	return leader, done
}

// TestCampaignEnds ends a waiting Campaign by its context, by the end of its session, and by
// Resign. The campaign leaves no candidate key.
func TestCampaignEnds(t *testing.T) {
	admin, p := sharedClient(t)
	for name, c := range map[string]struct {
		end  func(e *Election, cancel func())
		want error
	}{
		"context": {func(_ *Election, cancel func()) { cancel() }, context.Canceled},
		"session": {func(e *Election, _ func()) {
			assert.NoError(t, (&Session{e.s}).Close())
		}, ErrSessionExpired},
		"revoked elsewhere": {func(e *Election, _ func()) {
			_, err := admin.Revoke(t.Context(), (&Session{e.s}).Lease())
			assert.NoError(t, err)
		}, ErrSessionExpired},
		"resigned": {func(e *Election, _ func()) {
			assert.NoError(t, e.Resign(t.Context()))
		}, ErrSessionExpired},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		e := NewElection(newSession(t, newClient(t, shared.Endpoints()...), WithTTL(600)), p+name)
		leader, done := standsFor(t, admin, e, ctx)
		require.NoError(t, e.Proclaim(t.Context(), "changed"), "a candidate may change its mind")
		c.end(e, cancel)
		assert.Equal(t, c.want, result(t, done, time.Second), name)
		assert.Len(t, keysUnder(t, admin, e.pfx), 1, "%s: no candidate is left behind", name)
		assert.Empty(t, e.Key(), name)
		assert.Equal(t, "leader", leaderValue(t, leader))
		cancel()
	}
}

// TestCampaignVerifiesItsKey deletes the keys of the leader and of the candidate in one request.
// The candidate must not lead without a key.
func TestCampaignVerifiesItsKey(t *testing.T) {
	client, p := sharedClient(t)
	for range 20 {
		e := NewElection(newSession(t, client), p)
		_, done := standsFor(t, client, e, t.Context())
		_, err := client.Delete(t.Context(), p, clientv3.WithPrefix())
		require.NoError(t, err)
		require.Equal(t, ErrSessionExpired, result(t, done, time.Second))
	}
}

// TestCampaignWithUnknownOutcomeLeavesNoCandidate shows that clean-up deletes the candidate key of
// a failed campaign. The campaign fails, although the server has applied its put or applies it
// later.
func TestCampaignWithUnknownOutcomeLeavesNoCandidate(t *testing.T) {
	fake, client := newFake(t)
	e := NewElection(newSession(t, client), "election")
	fake.FailAfterApply("Txn", 1, status.Error(codes.Unavailable, "lost"))
	require.Error(t, e.Campaign(t.Context(), "value"))
	awaitKeys(t, client, e.pfx, 0)

	var late proto.Message
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if late == nil {
			late = req
			return nil, status.Error(codes.Unavailable, "stopped")
		}
		return fake.Apply(ctx, "Txn", req)
	})
	require.Error(t, e.Campaign(t.Context(), "value"))
	_, err := fake.Apply(t.Context(), "Txn", late)
	require.NoError(t, err)
	awaitKeys(t, client, e.pfx, 0)
	assert.Empty(t, e.Key())

	require.NoError(t, e.Campaign(t.Context(), "value"))
	fake.FailAfterApply("Txn", 1, status.Error(codes.Unavailable, "lost"))
	require.Error(t, e.Campaign(t.Context(), "another value"))
	assert.NotEmpty(t, e.Key(), "what leads already leads on")
	assert.Len(t, keysUnder(t, client, e.pfx), 1)
}

// TestResignKeepsItsStateWhenItFails loses the request that Resign sends, and in another run the
// response to it. After the failed Resign, Resign can be called again.
func TestResignKeepsItsStateWhenItFails(t *testing.T) {
	admin, p := sharedClient(t)
	for _, direction := range []faultnet.Direction{faultnet.ToServer, faultnet.ToClient} {
		proxy, client := proxied(t)
		e := NewElection(newSession(t, client), p)
		require.NoError(t, e.Campaign(t.Context(), "value"))
		key := e.Key()
		proxy.Drop(direction)
		assert.ErrorIs(t, e.Resign(inTime(t, 200*time.Millisecond)), context.DeadlineExceeded)
		assert.Equal(t, key, e.Key())
		proxy.Heal()
		require.Eventually(t, func() bool {
			return e.Resign(t.Context()) == nil
		}, time.Minute, time.Millisecond)
		assert.Empty(t, e.Key())
		assert.Empty(t, keysUnder(t, admin, p))
	}
}

// TestResignDeletesItsOwnKeyOnly repeats a Resign after the session has campaigned again. The new
// candidacy stays.
func TestResignDeletesItsOwnKeyOnly(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client)
	first, second := NewElection(s, p), NewElection(s, p)
	require.NoError(t, first.Campaign(t.Context(), "first"))
	old := ResumeElection(s, p, first.Key(), first.Rev())
	require.NoError(t, first.Resign(t.Context()))
	require.NoError(t, second.Campaign(t.Context(), "second"))
	require.NoError(t, old.Resign(t.Context()))
	assert.Equal(t, "second", leaderValue(t, second))
	assert.NoError(t, second.Proclaim(t.Context(), "still"))
}

func TestCampaignRequiresALeader(t *testing.T) {
	fake, client := newFake(t)
	e := NewElection(newSession(t, client), "election")
	leader, done := standsFor(t, client, e, t.Context())
	watchRequiresALeader(t, fake)
	require.NoError(t, leader.Resign(t.Context()))
	assert.NoError(t, result(t, done, time.Minute))
}

// TestResignGoesOnInTheBackground calls Resign with a context that has ended, as a program does at
// its shutdown. Leadership is given up in the background.
func TestResignGoesOnInTheBackground(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, resumed := range map[string]bool{"campaigned": false, "resumed": true} {
		_, client := newFake(t)
		s := newSession(t, client)
		e := NewElection(s, "election")
		require.NoError(t, e.Campaign(t.Context(), "value"), name)
		if resumed {
			s = newSession(t, client, WithLease(s.Lease()))
			e = ResumeElection(s, "election", e.Key(), e.Rev())
		}
		next := NewElection(newSession(t, client), "election")
		leads := async(func() error { return next.Campaign(t.Context(), "next") })
		awaitKeys(t, client, "election", 2)
		assert.Equal(t, context.Canceled, e.Resign(ended), name)
		assert.NotEmpty(t, e.Key(), "%s: Resign may be repeated", name)
		require.NoError(t, <-leads, name)
		assert.Equal(t, "next", leaderValue(t, next), name)
		assert.Equal(t, ErrElectionNotLeader, e.Proclaim(t.Context(), "value"), name)
		assert.NoError(t, e.Resign(t.Context()), name)
		assert.Empty(t, e.Key(), name)
		require.NoError(t, next.Resign(t.Context()))

		require.NoError(t, e.Campaign(t.Context(), "again"), name)
		assert.Equal(t, context.Canceled, e.Resign(ended), name)
		require.NoError(t, e.Campaign(t.Context(), "and again"), "%s: a candidacy of its own", name)
		assert.Equal(t, "and again", leaderValue(t, e), name)
	}
}
