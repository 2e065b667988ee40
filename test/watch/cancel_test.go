package watch_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestRefusedCreateSparesIDZero: a refused create never cancels watch id 0, whatever id it carries.
func TestRefusedCreateSparesIDZero(t *testing.T) {
	for name, id := range map[string]int64{"the wire's default": 0,
		"invalid": clientv3.InvalidWatchID} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			open := watchAsync(t.Context(), w, "a")
			ss := s.session()
			ss.create()
			ss.created(0, 1)
			a := open()

			open = watchAsync(t.Context(), w, "b")
			for range 2 { // it is tried once more
				ss.createFrom("b", 0)
				ss.refused(id, "no")
			}
			wr := requireLast(t, open())
			assert.Equal(t, "no", wr.CancelReason)

			ss.events(0, 2)
			requireRevisions(t, a, 2)
			ss.say(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 3}, Canceled: true,
				CancelReason: "other"})
			wr = requireLast(t, a)
			assert.Equal(t, "other", wr.CancelReason)
			assert.ErrorContains(t, wr.Err(), "other")
		})
	}
}

// TestRealServerRefusedWatchSparesItsSiblings: the same with a user who may read one key and not
// the other.
func TestRealServerRefusedWatchSparesItsSiblings(t *testing.T) {
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.AddRole("reader",
		&authpb.Permission{Key: []byte("a"), PermType: authpb.READWRITE}))
	require.NoError(t, cluster.AddUser("alice", "pw", "reader"))
	require.NoError(t, cluster.EnableAuth("root"))
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: "alice",
		Password: "pw", Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })

	a := c.Watch(t.Context(), "a")
	for range 2 {
		wr := requireLast(t, c.Watch(t.Context(), "b"))
		assert.Equal(t, rpctypes.ErrPermissionDenied, wr.Err())
		assert.NotEmpty(t, wr.CancelReason)
	}
	put(t, c, "a", "1")
	require.NoError(t, nextWithEvents(t, a))
	_, err = c.Put(t.Context(), "b", "1")
	assert.Equal(t, rpctypes.ErrPermissionDenied, err, "the user is as it should be")
}

func nextWithEvents(tb testing.TB, ch clientv3.WatchChan) error {
	wr := nextResponse(tb, ch)
	require.NotEmpty(tb, wr.Events)
	return wr.Err()
}

// TestCancelGoesOutAtOnce: without any event, and before the channel of another watch moves.
func TestCancelGoesOutAtOnce(t *testing.T) {
	s, w := newWatchScript(t)
	ctx, cancel := context.WithCancel(t.Context())
	openA := watchAsync(ctx, w, "a")
	ss := s.session()
	ss.create()
	ss.created(7, 1)
	a := openA()
	openB := watchAsync(t.Context(), w, "b")
	ss.create()
	ss.created(8, 1)
	b := openB()

	begin := time.Now()
	cancel()
	requireClosed(t, a)
	assert.Less(t, time.Since(begin), testclient.Slowdown*100*time.Millisecond)
	assert.EqualValues(t, 7, ss.cancelled())

	// What the server still says about it is ignored.
	ss.events(7, 2)
	for range 2 {
		ss.say(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 2}, WatchId: 7,
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
	open := watchAsync(ctx, w, "a")
	ss := s.session()
	ss.create()
	ss.created(7, 1)
	ch := open()
	cancel()
	requireClosed(t, ch)
	assert.EqualValues(t, 7, ss.cancelled())
	select {
	case <-ss.ctx.Done():
	case <-time.After(patience):
		require.Fail(t, "the stream is still open")
	}
}

// TestCancelWhileDisconnectedClosesTheChannel: the channel closes within 100 ms also where nothing
// can be reached.
func TestCancelWhileDisconnectedClosesTheChannel(t *testing.T) {
	cluster := etcdtest.Start(t)
	proxy := faultnet.New(t, cluster.Members()[0].Address())
	for name, cut := range map[string]func(){
		"reset":      func() { proxy.Refuse(); proxy.Reset() },
		"blackholed": func() { proxy.Blackhole(faultnet.Both) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newWatchClient(t, proxy.Addr())
			ctx, cancel := context.WithCancel(t.Context())
			ch := c.Watch(ctx, "k")
			cut()
			begin := time.Now()
			cancel()
			requireClosed(t, ch)
			assert.Less(t, time.Since(begin), testclient.Slowdown*100*time.Millisecond)
			proxy.Heal()
		})
	}
}

// TestWatchContextEndsBeforeCreation: the call returns a closed channel, and a confirmation that
// comes later is answered with a cancel.
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
	assert.Empty(t, ss.reqs, "a context that is over asks nothing")
}

// TestLastWatchClosesTheStream, however it ends.
func TestLastWatchClosesTheStream(t *testing.T) {
	s := etcdfake.Start(t)
	c := newWatchClient(t, s.Addr())
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

// TestRealServerLastWatchClosesTheStream counts the streams in the server's own metrics.
func TestRealServerLastWatchClosesTheStream(t *testing.T) {
	cluster := etcdtest.Start(t)
	c := newWatchClient(t, cluster.Endpoints()...)
	ctx, cancel := context.WithCancel(t.Context())
	ch := c.Watch(ctx, "a")
	streams := func() float64 {
		n, err := cluster.Members()[0].Metric("etcd_debugging_mvcc_watch_stream_total")
		require.NoError(t, err)
		return n
	}
	assert.EqualValues(t, 1, streams())
	cancel()
	requireClosed(t, ch)
	require.Eventually(t, func() bool { return streams() == 0 }, patience, 10*time.Millisecond)
}

// TestServerCancelsAnEstablishedWatch: a last response with the reason, after all that came before.
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
			open := watchAsync(t.Context(), w, "a")
			ss := s.session()
			ss.create()
			ss.created(3, 1)
			ch := open()
			ss.events(3, 2)
			resp := tc.resp
			resp.Header, resp.WatchId, resp.Canceled = &pb.ResponseHeader{Revision: 5}, 3, true
			ss.say(resp)
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

// TestWatchEmptyRange: what etcd refuses by itself.
func TestRealServerRefusesAnEmptyRange(t *testing.T) {
	cluster := etcdtest.Start(t)
	c := newWatchClient(t, cluster.Endpoints()...)
	wr := requireLast(t, c.Watch(t.Context(), "b", clientv3.WithRange("a")))
	assert.ErrorContains(t, wr.Err(), wr.CancelReason)
	wr = requireLast(t, c.Watch(t.Context(), "b", clientv3.WithRev(-1)))
	assert.Equal(t, rpctypes.ErrCompacted, wr.Err())
}

// TestWatchRequestTooLarge: a range that does not fit into a request ends its own watch, before it
// is sent.
func TestWatchRequestTooLarge(t *testing.T) {
	s := etcdfake.Start(t)
	c := newWatchClient(t, s.Addr())
	ch := c.Watch(t.Context(), "k")
	wr := requireLast(t, c.Watch(t.Context(), string(make([]byte, 3<<20))))
	assert.ErrorContains(t, wr.Err(), "3145728 bytes")
	put(t, c, "k", "v")
	require.NoError(t, nextWithEvents(t, ch))
	_, total := s.Streams("Watch")
	assert.Equal(t, 1, total)
}
