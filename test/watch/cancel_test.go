package watch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestRefusedCreateSparesIDZero: a refused create does not end the watch with id 0, whatever id the
// refusal carries. If the server cancels that watch later, the watch gets the reason of that
// cancel.
func TestRefusedCreateSparesIDZero(t *testing.T) {
	for name, id := range map[string]int64{"the wire's default": 0,
		"invalid": clientv3.InvalidWatchID} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			ss, a := s.watch(t.Context(), w, "a", 0)

			open := watchAsync(t.Context(), w, "b")
			for range 2 { // the client tries once more
				ss.createFrom("b", 0)
				ss.refused(id, "no")
			}
			wr := requireLast(t, open())
			assert.Equal(t, "no", wr.CancelReason)

			ss.events(0, 2)
			requireRevisions(t, a, 2)
			ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 3}, Canceled: true,
				CancelReason: "other"})
			wr = requireLast(t, a)
			assert.Equal(t, "other", wr.CancelReason)
			assert.ErrorContains(t, wr.Err(), "other")
		})
	}
}

// TestRealServerRefusedWatchSparesItsSiblings: a user who may read one of two keys watches both.
// The watch of the other key ends with ErrPermissionDenied, and the first one goes on.
func TestRealServerRefusedWatchSparesItsSiblings(t *testing.T) {
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.AddRole("reader",
		&authpb.Permission{Key: []byte("a"), PermType: authpb.READWRITE}))
	require.NoError(t, cluster.AddUser("alice", "pw", "reader"))
	require.NoError(t, cluster.EnableAuth("root"))
	c := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))

	a := c.Watch(t.Context(), "a")
	for range 2 {
		wr := requireLast(t, c.Watch(t.Context(), "b"))
		assert.Equal(t, rpctypes.ErrPermissionDenied, wr.Err())
		assert.NotEmpty(t, wr.CancelReason)
	}
	put(t, c, "a", "1")
	requireEvents(t, a)
	_, err := c.Put(t.Context(), "b", "1")
	assert.Equal(t, rpctypes.ErrPermissionDenied, err, "the user may not write the other key")
}

// TestCancelGoesOutAtOnce: when a watch's context is canceled, its channel closes and the server
// gets a cancel request immediately. The client does not wait for an event on the stream. It
// ignores later responses for the canceled watch.
func TestCancelGoesOutAtOnce(t *testing.T) { synctest.Test(t, cancelOneOfTwo) }

func cancelOneOfTwo(t *testing.T) {
	s, w := newWatchScript(t)
	ctx, cancel := context.WithCancel(t.Context())
	ss, a := s.watch(ctx, w, "a", 7)
	b := ss.watch(t.Context(), w, "b", 8)

	begin := time.Now()
	cancel()
	requireClosed(t, a)
	assert.EqualValues(t, 7, ss.cancelled())
	assert.Zero(t, time.Since(begin)) // virtual time

	ss.events(7, 2)
	for range 2 {
		ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 2}, WatchId: 7,
			Canceled: true, CancelReason: "gone"})
	}
	ss.events(8, 2)
	requireRevisions(t, b, 2)
}

// TestLastWatchSendsACancelRequest: the server sees the cancel request of the last watch before its
// stream ends.
func TestLastWatchSendsACancelRequest(t *testing.T) {
	s, w := newWatchScript(t)
	ctx, cancel := context.WithCancel(t.Context())
	ss, ch := s.watch(ctx, w, "a", 7)
	cancel()
	requireClosed(t, ch)
	assert.EqualValues(t, 7, ss.cancelled())
	select {
	case <-ss.ctx.Done():
	case <-time.After(patience):
		require.Fail(t, "the stream is still open")
	}
}

// TestCancelWhileDisconnectedClosesTheChannel: when a watch's context is canceled, its channel
// closes within 100 ms, also while the client can reach no member.
func TestCancelWhileDisconnectedClosesTheChannel(t *testing.T) {
	proxy := faultnet.New(t, shared.Cluster().Members()[0].Address())
	for name, cut := range map[string]func(){
		"reset":      func() { proxy.Refuse(); proxy.Reset() },
		"blackholed": func() { proxy.Blackhole(faultnet.Both) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, proxy.Addr())
			var chans [5]clientv3.WatchChan
			var cancels [5]context.CancelFunc
			for i := range chans {
				var ctx context.Context
				ctx, cancels[i] = context.WithCancel(t.Context())
				chans[i] = c.Watch(ctx, "k")
			}
			cut()
			best := patience // the shortest time; a busy machine can delay single watches
			for i, ch := range chans {
				took := testclient.Stopwatch(t)
				cancels[i]()
				requireClosed(t, ch)
				best = min(best, took())
			}
			assert.Less(t, best, 100*time.Millisecond)
			proxy.Heal()
		})
	}
}

// TestWatchContextEndsBeforeCreation: if the context of a Watch call ends before the server has
// confirmed the watch, the call returns a closed channel. When the confirmation comes, the client
// cancels the watch. A call whose context is over sends nothing.
func TestWatchContextEndsBeforeCreation(t *testing.T) {
	s, w := newWatchScript(t)
	openB := watchAsync(t.Context(), w, "b")
	ss := s.session()
	ss.createFrom("b", 0)
	ss.created(0, 1)
	b := openB()
	ctx, cancel := context.WithCancel(t.Context())
	openA := watchAsync(ctx, w, "a")
	ss.createFrom("a", 0)
	cancel()
	requireClosed(t, openA())
	ss.created(1, 1)
	assert.EqualValues(t, 1, ss.cancelled())
	ss.events(1, 2)
	ss.events(0, 2)
	requireRevisions(t, b, 2)

	done, end := context.WithCancel(t.Context())
	end()
	requireClosed(t, w.Watch(done, "c"))
	assert.Empty(t, ss.reqs, "a request for a context that is over")
}

// TestLastWatchClosesTheStream: when the last watch of a stream ends, the client closes the stream.
// The watch ends because its context is canceled, or because the server refuses it.
func TestLastWatchClosesTheStream(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	streams := func() int { open, _ := s.Streams("Watch"); return open }
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		a, b := c.Watch(ctx, "a"), c.Watch(ctx, "b")
		assert.Equal(t, 1, streams())
		cancel()
		requireClosed(t, a)
		requireClosed(t, b)
		require.Eventually(t, func() bool { return streams() == 0 }, patience, time.Millisecond)
	}
	rev := put(t, c, "a", "1")
	_, err := c.Compact(t.Context(), rev)
	require.NoError(t, err)
	requireLast(t, c.Watch(t.Context(), "a", clientv3.WithRev(1)))
	require.Eventually(t, func() bool { return streams() == 0 }, patience, time.Millisecond)
}

// TestRealServerLastWatchClosesTheStream: when the last watch of a stream ends, the client closes
// the stream. A real server's metrics count the open streams.
func TestRealServerLastWatchClosesTheStream(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	cluster := shared.Cluster()
	streams := func() float64 {
		n, err := cluster.Members()[0].Metric("etcd_debugging_mvcc_watch_stream_total")
		require.NoError(t, err)
		return n
	}
	awaitNone := func() {
		t.Helper()
		require.Eventually(t, func() bool { return streams() == 0 }, patience, 10*time.Millisecond)
	}
	awaitNone() // earlier tests may have left streams
	c := testclient.Open(t, cluster)
	ctx, cancel := context.WithCancel(t.Context())
	ch := c.Watch(ctx, "a")
	assert.EqualValues(t, 1, streams())
	cancel()
	requireClosed(t, ch)
	awaitNone()
}

// TestServerCancelsAnEstablishedWatch: if the server cancels a watch, the watch delivers the events
// that came before, and then a last response with the server's reason.
func TestServerCancelsAnEstablishedWatch(t *testing.T) {
	for name, tc := range map[string]struct {
		resp *pb.WatchResponse
		want error
	}{
		"reason": {&pb.WatchResponse{
			CancelReason: rpctypes.ErrGRPCPermissionDenied.Error()}, rpctypes.ErrPermissionDenied},
		"plain description": {&pb.WatchResponse{CancelReason: rpctypes.ErrInvalidAuthToken.Error()},
			rpctypes.ErrInvalidAuthToken},
		"no reason": {&pb.WatchResponse{}, rpctypes.ErrFutureRev},
		"compacted": {&pb.WatchResponse{CompactRevision: 9}, rpctypes.ErrCompacted},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			ss, ch := s.watch(t.Context(), w, "a", 3)
			ss.events(3, 2)
			resp := tc.resp
			resp.Header, resp.WatchId, resp.Canceled = &pb.ResponseHeader{Revision: 5}, 3, true
			ss.respond(resp)
			requireRevisions(t, ch, 2)
			wr := requireLast(t, ch)
			assert.Equal(t, tc.want, wr.Err())
			assert.Equal(t, resp.CancelReason, wr.CancelReason)
			assert.Equal(t, resp.CompactRevision, wr.CompactRevision)
			assert.EqualValues(t, 5, wr.Header.Revision)
			assert.False(t, wr.IsProgressNotify())
		})
	}
}

// TestRealServerRefusesAnEmptyRange: etcd refuses a watch with an empty range, and a watch from a
// negative revision. Each watch ends with the reason.
func TestRealServerRefusesAnEmptyRange(t *testing.T) {
	c := testclient.Open(t, shared.Cluster())
	wr := requireLast(t, c.Watch(t.Context(), "b", clientv3.WithRange("a")))
	assert.ErrorContains(t, wr.Err(), wr.CancelReason)
	wr = requireLast(t, c.Watch(t.Context(), "b", clientv3.WithRev(-1)))
	assert.Equal(t, rpctypes.ErrCompacted, wr.Err())
}

// TestWatchRequestTooLarge: a watch whose key does not fit into a request ends before anything is
// sent. Other watches go on.
func TestWatchRequestTooLarge(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	ch := c.Watch(t.Context(), "k")
	wr := requireLast(t, c.Watch(t.Context(), string(make([]byte, 3<<20))))
	assert.ErrorContains(t, wr.Err(), "3145728 bytes")
	put(t, c, "k", "v")
	requireEvents(t, ch)
	_, total := s.Streams("Watch")
	assert.Equal(t, 1, total)
}
