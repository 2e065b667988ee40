package watch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// errCut is the status with which a server ends its streams when it stops.
var errCut = rpctypes.ErrGRPCStopped

// TestWatchResumesFromItsCreation: a watch from "now" has had no event when its stream breaks. The
// client resumes it from the revision of its creation. So the watch still delivers a change that is
// made before the next stream is open.
func TestWatchResumesFromItsCreation(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	other := testclient.OpenFake(t, s)
	put(t, other, "k", "before")
	ch := c.Watch(t.Context(), "k")
	proceed := make(chan struct{})
	s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		<-proceed
		return s.ServeWatch(ctx, recv, send)
	})
	require.Equal(t, 1, s.Break("Watch", errCut))
	rev := put(t, other, "k", "meanwhile")
	close(proceed)
	assert.Equal(t, fmt.Sprintf("PUT k=meanwhile@%d", rev), nextEvent(t, ch))
}

// TestRealServerWatchResumesFromItsCreation: a watch from "now" has had no event when its
// connection to a real member is cut. It still delivers a change that is made before the client has
// connected again.
func TestRealServerWatchResumesFromItsCreation(t *testing.T) {
	c, other, proxy := newProxied(t)
	put(t, other, "k", "before")
	ch := c.Watch(t.Context(), "k")
	proxy.Refuse()
	proxy.Reset()
	rev := put(t, other, "k", "meanwhile")
	put(t, other, "l", "of no interest")
	proxy.Heal()
	assert.Equal(t, fmt.Sprintf("PUT k=meanwhile@%d", rev), nextEvent(t, ch))
}

// newProxied returns a client that reaches the shared cluster through a proxy, and a client that
// bypasses the proxy.
func newProxied(t *testing.T) (through, past *clientv3.Client, proxy *faultnet.Proxy) {
	t.Helper()
	proxy = faultnet.New(t, shared.Cluster().Members()[0].Address())
	return newClient(t, proxy.Addr()), testclient.Open(t, shared.Cluster()), proxy
}

// TestNoDuplicateAfterProgress: after an event or a progress notice at R a watch resumes at R+1.
func TestNoDuplicateAfterProgress(t *testing.T) {
	s, w := newWatchScript(t)
	open := watchAsync(t.Context(), w, "k", clientv3.WithProgressNotify())
	ss := s.session()
	ss.createFrom("k", 0)
	ss.created(3, 10)
	ch := open()
	ss.events(3, 11, 12)
	requireRevisions(t, ch, 11, 12)
	ss.end(errCut)

	ss = s.session()
	ss.createFrom("k", 13)
	ss.created(0, 15)
	ss.progress(0, 20)
	wr := nextResponse(t, ch)
	assert.True(t, wr.IsProgressNotify())
	ss.end(errCut)

	ss = s.session()
	ss.createFrom("k", 21)
	ss.created(1, 22)
	ss.events(1, 20, 21, 22) // the server sends an old revision again
	requireRevisions(t, ch, 21, 22)
}

// TestCreatedNotifyComesOnce: a watch with WithCreatedNotify gets one Created response, and none
// after a resume.
func TestCreatedNotifyComesOnce(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	ch := c.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
	wr := nextResponse(t, ch)
	assert.True(t, wr.Created)
	assert.False(t, wr.IsProgressNotify())
	assert.NoError(t, wr.Err())
	for i := range 3 {
		require.Equal(t, 1, s.Break("Watch", errCut))
		require.Eventually(t, func() bool {
			open, total := s.Streams("Watch")
			return open == 1 && total == i+2
		}, patience, time.Millisecond)
		rev := put(t, c, "k", "v")
		assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, ch), "nothing but the event")
	}
}

// TestFragmentsCutInTheMiddleComeOnceWhole: a stream breaks between two fragments of a response.
// The first fragment is dropped, and the whole response arrives once, from the next stream.
// Fragments of two watches may alternate.
func TestFragmentsCutInTheMiddleComeOnceWhole(t *testing.T) {
	s, w := newWatchScript(t)
	fragment := func(ss *watchSession, id int64, more bool, revs ...int64) {
		resp := eventsResponse(id, revs...)
		resp.Fragment = more
		ss.respond(resp)
	}
	openA := watchAsync(t.Context(), w, "a", clientv3.WithFragment())
	ss := s.session()
	assert.True(t, ss.create().Fragment)
	ss.created(0, 1)
	a := openA()
	b := ss.watch(t.Context(), w, "b", 1, clientv3.WithFragment())

	fragment(ss, 0, true, 2, 2)
	fragment(ss, 1, true, 2)
	fragment(ss, 0, false, 2)
	fragment(ss, 1, false, 2, 2)
	requireRevisions(t, a, 2, 2, 2)
	requireRevisions(t, b, 2, 2, 2)

	fragment(ss, 0, true, 3, 3)
	ss.end(errCut)
	ss = s.session()
	ss.createFrom("a", 3)
	ss.created(0, 3)
	ss.createFrom("b", 3)
	ss.created(1, 3)
	fragment(ss, 0, true, 3, 3)
	fragment(ss, 0, true, 3)
	fragment(ss, 0, false, 3)
	requireRevisions(t, a, 3, 3, 3, 3)
}

// TestEndlessFragments: a server sends fragments of one response without end. The watch still ends
// when its context is canceled or its watcher is closed. Meanwhile another watch of the stream gets
// its events.
func TestEndlessFragments(t *testing.T) {
	for name, byContext := range map[string]bool{"context": true, "close": false} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ss, a := s.watch(ctx, w, "a", 0, clientv3.WithFragment())
			b := ss.watch(t.Context(), w, "b", 1)
			for rev := range int64(1000) {
				resp := eventsResponse(0, rev+2)
				resp.Fragment = true
				ss.respond(resp)
				ss.events(1, rev+2)
				requireRevisions(t, b, rev+2)
			}
			assert.Empty(t, a)
			if byContext {
				cancel()
				assert.EqualValues(t, 0, ss.cancelled())
			} else {
				require.NoError(t, w.Close())
				requireLast(t, a)
			}
			requireClosed(t, a)
		})
	}
}

// TestFragmentsOfARealServer: the events of one transaction are larger than the server's messages.
// They arrive in one response.
func TestFragmentsOfARealServer(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithArgs("--max-request-bytes=65536"))
	c := testclient.Open(t, cluster)
	ch := c.Watch(t.Context(), "big/", clientv3.WithPrefix(), clientv3.WithFragment(),
		clientv3.WithPrevKV())
	value := make([]byte, 500)
	for range 2 {
		var ops []clientv3.Op
		for i := range 100 {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("big/%03d", i), string(value)))
		}
		resp, err := c.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
		wr := nextResponse(t, ch)
		// In the second loop the events also have the previous values. They take 100 KiB, which
		// the server sends in more than one message.
		require.Len(t, wr.Events, 100)
		for i, e := range wr.Events {
			require.Equal(t, fmt.Sprintf("big/%03d", i), string(e.Kv.Key))
			require.Equal(t, resp.Header.Revision, e.Kv.ModRevision)
		}
	}
}

// TestWatchFromAFutureRevisionGetsNothingOlder: a watch from a future revision gets no older event,
// also if it is created again on another connection before the store has reached that revision.
func TestWatchFromAFutureRevisionGetsNothingOlder(t *testing.T) {
	c, other, proxy := newProxied(t)
	rev := put(t, other, "k", "0")
	ch := c.Watch(t.Context(), "k", clientv3.WithRev(rev+5), clientv3.WithCreatedNotify())
	assert.True(t, nextResponse(t, ch).Created)
	for i := range 8 {
		if i == 2 || i == 6 {
			proxy.Reset()
		}
		require.Equal(t, rev+1+int64(i), put(t, other, "k", fmt.Sprint(i)))
	}
	var got []int64
	for len(got) < 4 {
		wr := nextResponse(t, ch)
		require.NoError(t, wr.Err())
		got = append(got, revisions(wr)...)
	}
	assert.Equal(t, []int64{rev + 5, rev + 6, rev + 7, rev + 8}, got)
}
