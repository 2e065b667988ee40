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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestWatchStreamsAreSharedByMetadata: watches with equal outgoing metadata share a stream. The
// order of the metadata keys and other context values make no difference.
func TestWatchStreamsAreSharedByMetadata(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	type key struct{ i int }
	concurrently(1000, 1000, func(i int) {
		c.Watch(context.WithValue(t.Context(), key{i}, i), "a")
	})
	open, total := s.Streams("Watch")
	assert.Equal(t, 1, open)
	assert.Equal(t, 1, total)

	with := func(pairs ...string) context.Context {
		return metadata.NewOutgoingContext(t.Context(), metadata.Pairs(pairs...))
	}
	for _, same := range [][]string{{"x", "1", "y", "2"}, {"y", "2", "x", "1"}} {
		c.Watch(with(same...), "a")
		open, _ = s.Streams("Watch")
		assert.Equal(t, 2, open)
	}
	assert.Equal(t, []string{"1"}, s.LastMetadata("Watch").Get("x"))
	for i, other := range [][]string{{"x", "1"}, {"x", "12"}, {"x", "1", "x", "2"},
		{"x", "2", "x", "1"}, {"x1", ""}, {"x", "1", "y", "2:y"}} {
		c.Watch(with(other...), "a")
		open, _ = s.Streams("Watch")
		assert.Equal(t, 3+i, open, "%q", other)
	}
}

// TestRequireLeaderMergesMetadata: WithRequireLeader keeps the caller's own metadata. It does not
// change the metadata of the caller's context, which many goroutines can share.
func TestRequireLeaderMergesMetadata(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "custom", "header")
	concurrently(50, 50, func(int) { c.Watch(clientv3.WithRequireLeader(ctx), "a") })
	md := s.LastMetadata("Watch")
	assert.Equal(t, []string{"header"}, md.Get("custom"))
	assert.Equal(t, []string{rpctypes.MetadataHasLeader}, md.Get(rpctypes.MetadataRequireLeaderKey))
	_, total := s.Streams("Watch")
	assert.Equal(t, 1, total)
	own, _ := metadata.FromOutgoingContext(ctx)
	assert.Empty(t, own.Get(rpctypes.MetadataRequireLeaderKey), "the caller's context is as it was")
}

// TestWatchRequireLeader: when the member that serves a watch loses its leader, the watch ends with
// ErrNoLeader if it requires a leader. Other watches go on when there is a leader again.
func TestWatchRequireLeader(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	leader, err := cluster.WaitLeader(t.Context())
	require.NoError(t, err)
	var lonely *etcdtest.Member
	for _, m := range cluster.Members() {
		if m != leader {
			lonely = m
		}
	}
	c := testclient.New(t, clientv3.Config{Endpoints: []string{lonely.Endpoint()}})
	with := c.Watch(clientv3.WithRequireLeader(t.Context()), "a")
	without := c.Watch(t.Context(), "a")
	for _, m := range cluster.Members() {
		if m != lonely {
			m.Kill()
		}
	}
	wr := requireLast(t, with)
	assert.Equal(t, rpctypes.ErrNoLeader, wr.Err())
	wr = requireLast(t, c.Watch(clientv3.WithRequireLeader(t.Context()), "a"))
	assert.Equal(t, rpctypes.ErrNoLeader, wr.Err(), "a new watch")
	for _, m := range cluster.Members() {
		if m != lonely {
			require.NoError(t, m.Restart())
		}
	}
	put(t, c, "a", "1")
	requireEvents(t, without)
}

// TestBrokenStreamsAreReopenedWithBackoff: a server breaks each stream, with any status, at once or
// after it has confirmed a watch. The client opens fewer than 20 streams a second, and the watch
// goes on when the server serves again.
func TestBrokenStreamsAreReopenedWithBackoff(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.Unavailable, codes.Unknown,
		codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OK} {
		for name, works := range map[string]bool{"at once": false, "after the creation": true} {
			t.Run(code.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				s, c := testclient.StartFake(t, clientv3.Config{})
				end := make(chan struct{})
				s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
					send func(*pb.WatchResponse) error) error {
					select {
					case <-end:
						return s.ServeWatch(ctx, recv, send)
					default:
					}
					if works {
						if _, err := recv(); err != nil {
							return err
						}
						_ = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1},
							Created: true})
					}
					return status.Error(code, "broken")
				})
				open := watchAsync(t.Context(), c, "k", clientv3.WithRev(1))
				opened := func() int { _, total := s.Streams("Watch"); return total }
				require.Eventually(t, func() bool {
					return opened() > 0
				}, patience, time.Millisecond)
				begin := time.Now()
				time.Sleep(time.Second) // the test measures the rate over this second
				assert.Less(t, float64(opened()), 20*time.Since(begin).Seconds())
				require.Eventually(t, func() bool {
					return opened() > 1
				}, patience, time.Millisecond)
				close(end)
				rev := put(t, c, "k", "v")
				assert.Equal(t, fmt.Sprintf("PUT k=v@%d", rev), nextEvent(t, open()),
					"the watch goes on")
			})
		}
	}
}

// TestWatchesOutliveEveryStatusOfTheirStream: a load balancer may end streams with any status for a
// while. No watch ends because of that, whether the server has confirmed it or not, and no event is
// lost.
func TestWatchesOutliveEveryStatusOfTheirStream(t *testing.T) {
	errs := []error{
		rpctypes.ErrGRPCAuthFailed, rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCCorrupt,
		rpctypes.ErrGRPCNotCapable,
		//nolint:staticcheck // a proxy whose own connection is closed sends this text
		grpc.ErrClientConnClosing,
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		errs = append(errs, status.Error(code, "not now"))
	}
	for _, err := range errs {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			t.Parallel()
			s, w := newWatchScript(t)
			ss, a := s.watch(t.Context(), w, "a", 0)
			openB := watchAsync(t.Context(), w, "b")
			ss.create() // the server does not confirm the watch of "b"
			ss.events(0, 2)
			ss.end(err)
			requireRevisions(t, a, 2)
			for range 3 {
				s.session().end(err)
			}
			ss = s.session()
			ss.createFrom("a", 3)
			ss.created(0, 3)
			ss.createFrom("b", 0)
			ss.created(1, 3)
			ss.events(0, 3)
			requireRevisions(t, a, 3)
			b := openB()
			ss.events(1, 4)
			requireRevisions(t, b, 4)
		})
	}
}

// TestWatchWithoutConnection: a watch of a client without a connection ends with
// ErrNoAvailableEndpoints.
func TestWatchWithoutConnection(t *testing.T) {
	c := clientv3.NewCtxClient(t.Context())
	wr := requireLast(t, c.Watch(t.Context(), "a"))
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, wr.Err())
	assert.NoError(t, c.Close())
}

// TestCancelStormKeepsReceiving: two thousand watches are canceled at once, on a transport whose
// Send blocks until the other side receives. The server sends a thousand events before it receives
// the first cancel request. The client still receives all the events.
func TestCancelStormKeepsReceiving(t *testing.T) {
	const watches = 2000
	proceed := make(chan struct{})
	pipes := pipes.NewWatch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for i := range int64(watches) {
			req, err := recv()
			if err != nil {
				return err
			}
			resp := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1},
				WatchId: req.GetCreateRequest().WatchId, Created: true}
			if resp.WatchId == 0 {
				resp.WatchId = i
			}
			if err := send(resp); err != nil {
				return err
			}
		}
		<-proceed // closed when the client has canceled the watches
		for rev := range int64(1000) {
			if err := send(eventsResponse(0, rev+2)); err != nil {
				return err
			}
		}
		cancels := 0
		for ; cancels < watches-1; cancels++ {
			if req, err := recv(); err != nil || req.GetCancelRequest() == nil {
				return fmt.Errorf("want a cancel, have %v, %w", req, err)
			}
		}
		<-ctx.Done()
		return ctx.Err()
	})
	w := clientv3.NewWatchFromWatchClient(pipes, nil)
	t.Cleanup(func() { assert.NoError(t, w.Close()); pipes.Close() })

	kept := w.Watch(t.Context(), "kept") // alone, so it gets the id that the server chooses: 0
	ctx, cancel := context.WithCancel(t.Context())
	concurrently(watches-1, watches-1, func(i int) { w.Watch(ctx, fmt.Sprint(i)) })
	cancel()
	close(proceed)
	for rev := range int64(1000) {
		requireRevisions(t, kept, rev+2)
	}
}

// TestWatchFromAFutureRevisionKeepsItsStream: etcd answers no request for progress on a stream
// while one of its watches waits for a revision that the store has not reached. Each watch that a
// user starts at the revision after a Get is such a watch, so the client must not close the stream
// when no answer comes.
func TestWatchFromAFutureRevisionKeepsItsStream(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	c, member := testclient.Open(t, shared.Cluster()), shared.Cluster().Members()[0]
	opened := func() float64 {
		n, err := member.Metric("grpc_server_started_total", `"etcdserverpb.Watch"`)
		require.NoError(t, err)
		return n
	}
	before := opened()
	c.Watch(t.Context(), "a")
	rev := put(t, c, "b", "1")
	awaitProgress(t, member, 1)
	ch := c.Watch(t.Context(), "a", clientv3.WithRev(rev+1))
	time.Sleep(4 * time.Second) // longer than the client leaves a silent stream open
	assert.EqualValues(t, before+1, opened())
	put(t, c, "a", "1")
	requireEvents(t, ch)
}
