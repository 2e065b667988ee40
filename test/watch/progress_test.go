package watch_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestProgressGoesToAllWatches: a requested progress notice goes to all watches of its stream, also
// to the one with id 0, and to no watch of another stream.
func TestProgressGoesToAllWatches(t *testing.T) {
	c := testclient.Open(t, shared.Cluster())
	elsewhere := c.Watch(metadata.AppendToOutgoingContext(t.Context(), "other", "stream"), "a")
	rev := put(t, c, "a", "1")
	requireEvents(t, elsewhere)

	first := c.Watch(t.Context(), "a")
	// The server refuses this watch. The refusal does not affect the first watch.
	requireLast(t, c.Watch(t.Context(), "b", clientv3.WithRange("a")))
	second := c.Watch(t.Context(), "b")
	require.NoError(t, c.RequestProgress(t.Context()))
	for _, ch := range []clientv3.WatchChan{first, second} {
		wr := nextResponse(t, ch)
		assert.True(t, wr.IsProgressNotify())
		assert.Equal(t, rev, wr.Header.Revision)
	}
	put(t, c, "a", "2")
	requireEvents(t, first)
	requireEvents(t, elsewhere, "no notice before the event")
}

// TestWatchProgressNotify: a watch with WithProgressNotify gets the notices that the server sends
// by itself, and a watch without it gets none.
func TestWatchProgressNotify(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithArgs("--watch-progress-notify-interval=100ms"))
	c := testclient.Open(t, cluster)
	plain := c.Watch(t.Context(), "a")
	notified := c.Watch(t.Context(), "a", clientv3.WithProgressNotify())
	for range 3 {
		wr := nextResponse(t, notified)
		assert.True(t, wr.IsProgressNotify())
	}
	put(t, c, "a", "1")
	requireEvents(t, plain)
}

// TestRequestProgressOpensNothing: a request for progress whose metadata match no watch is an error
// and opens no stream. On a client without any watch it is no error, because programs ask in a loop
// while their watches come and go.
func TestRequestProgressOpensNothing(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	assert.NoError(t, c.RequestProgress(t.Context()), "no watch at all")
	ctx, cancel := context.WithCancel(t.Context())
	ch := c.Watch(ctx, "a")
	assert.ErrorIs(t, c.RequestProgress(metadata.AppendToOutgoingContext(t.Context(), "x", "y")),
		clientv3.ErrNoWatchStream)
	assert.NoError(t, c.RequestProgress(t.Context()))
	cancel()
	assert.Equal(t, context.Canceled, c.RequestProgress(ctx))
	for range ch { // until it is closed
	}
	assert.NoError(t, c.RequestProgress(t.Context()), "the last watch has gone")
	_, total := s.Streams("Watch")
	assert.Equal(t, 1, total)
	require.NoError(t, c.Watcher.Close())
	assert.ErrorIs(t, c.RequestProgress(t.Context()), context.Canceled)
}

// TestProgressNextToACompactedWatch: one watch of a stream ends by compaction. Until the client
// cancels that watch, the server treats it as a watch that lags behind, and answers no request for
// progress on its stream. The client cancels it, so the other watches still get progress.
func TestProgressNextToACompactedWatch(t *testing.T) {
	client := testclient.Open(t, shared.Cluster())
	var rev int64
	for range 3 {
		rev = put(t, client, "k", "v")
	}
	_, err := client.Compact(t.Context(), rev)
	require.NoError(t, err)

	healthy := client.Watch(t.Context(), "k")
	compacted := client.Watch(t.Context(), "k", clientv3.WithRev(1))
	last := requireLast(t, compacted)
	require.ErrorIs(t, last.Err(), rpctypes.ErrCompacted)
	for asked := time.Now(); ; {
		require.NoError(t, client.RequestProgress(t.Context()))
		select {
		case resp := <-healthy:
			require.True(t, resp.IsProgressNotify())
			return
		case <-time.After(time.Millisecond):
			require.Less(t, time.Since(asked), patience, "no progress")
		}
	}
}

// TestProgressProbesAreNotShown: the client asks for progress by itself, and a watch that did not
// ask for progress gets none of the answers.
func TestProgressProbesAreNotShown(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	events := c.Watch(t.Context(), "k")
	awaitRequests(t, s, 2)
	put(t, c, "k", "v")
	requireEvents(t, events)
}

// awaitRequests waits until a member has got n requests for progress.
func awaitRequests(t *testing.T, m *etcdfake.Server, n int) {
	t.Helper()
	testclient.Eventually(t, func() bool {
		return progressRequests(m) >= n
	}, "the client asks for progress")
}

// TestServerThatDoesNotAnswerIsAskedOnce: if a server leaves the first request for progress
// unanswered, as etcd's proxy does, no stream asks it again. The proxy logs an error for each such
// request.
func TestServerThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	const (
		neverAnswers = 3 * time.Second // after this time the client gives up on an answer
		twoPeriods   = 2 * time.Second // a server that answers gets two requests in this time
	)
	for name, cfg := range map[string]clientv3.Config{"with health": {},
		"evenly": {SpreadEvenly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := testclient.StartFake(t, cfg)
			s.Watch(withoutProgress(s))
			events := c.Watch(t.Context(), "k")
			awaitRequests(t, s, 1)
			time.Sleep(neverAnswers)
			require.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCStopped))
			other := c.Watch(metadata.AppendToOutgoingContext(t.Context(), "a", "b"), "k")
			time.Sleep(twoPeriods)
			put(t, c, "k", "v")
			requireEvents(t, events)
			requireEvents(t, other)
			assert.Equal(t, 1, progressRequests(s))
		})
	}
}

// withoutProgress serves watches and ignores requests for progress.
func withoutProgress(s *etcdfake.Server) etcdfake.WatchHandler {
	return func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			for {
				req, err := recv()
				if err != nil || req.GetProgressRequest() == nil {
					return req, err
				}
			}
		}, send)
	}
}

// TestProxyIsNotAskedForProgress: etcd's proxy logs an error for each request for progress, so the
// client sends it none. Meanwhile a client that is connected to the member directly sends two such
// requests for its idle watch.
func TestProxyIsNotAskedForProgress(t *testing.T) {
	cluster := etcdtest.Start(t) // not the shared one: the test counts the messages of its member
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	startProxy(t, cluster.Members()[0], addr)
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "proxy.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)

	c := newClient(t, addr)
	events := c.Watch(t.Context(), "k")
	direct := testclient.Open(t, cluster)
	direct.Watch(t.Context(), "other")
	awaitProgress(t, cluster.Members()[0], 4)
	put(t, c, "k", "v")
	requireEvents(t, events)
	text, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	assert.Zero(t, strings.Count(string(text), "not supported request type"))
}

// awaitProgress waits until a server with idle watches has sent the given number of messages on
// their watch streams. Two of the messages confirm and cancel a short extra watch, with which the
// client tests the order of the server's messages when it first asks for progress. The other
// messages are answers to requests for progress.
func awaitProgress(t *testing.T, m *etcdtest.Member, messages float64) {
	t.Helper()
	etcdtest.NeedsEtcd(t, "metrics")
	sent := func() float64 {
		n, err := m.Metric("grpc_server_msg_sent_total", `"Watch"`)
		require.NoError(t, err)
		return n
	}
	before := sent()
	require.Eventually(t, func() bool {
		return sent() >= before+messages
	}, patience, 50*time.Millisecond)
}

// TestProgressOfAServerThatAnswersAhead: servers before 3.4.25 and 3.5.8 can answer a request for
// progress before they send the events up to the revision in the answer. If the stream breaks after
// the answer and before those events, the watch gets the events from the next stream. This holds
// for every server version and every balancer.
func TestProgressOfAServerThatAnswersAhead(t *testing.T) {
	for name, cfg := range map[string]clientv3.Config{"with health": {},
		"evenly": {SpreadEvenly: true}, "without probes": {DisableProbes: true}} {
		for version, statusErr := range map[string]error{"3.5.5": nil, "3.5.13": nil,
			"3.7.3": rpctypes.ErrGRPCPermissionDenied} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				s, c := testclient.StartFake(t, cfg, etcdfake.WithVersion(version))
				if statusErr != nil {
					s.Fail("Status", 1000, statusErr)
				}
				progressAheadOfEvents(t, s, c, !cfg.DisableProbes)
			})
		}
	}
}

func progressAheadOfEvents(t *testing.T, s *etcdfake.Server, c *clientv3.Client, probes bool) {
	starts := make(chan int64, 100)
	s.Watch(answersAhead(starts))
	events := c.Watch(t.Context(), "k")
	require.Zero(t, <-starts)
	if probes {
		awaitRequests(t, s, 1) // the client's own request, answered before those of the test
	}
	for range 3 {
		require.NoError(t, c.RequestProgress(t.Context()))
		wr := nextResponse(t, events)
		require.True(t, wr.IsProgressNotify(), "it is shown in any case")
	}
	require.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCStopped))
	for start := range starts {
		// The watch from 5 is the client's own. With it the client tests whether the server
		// answers a request for progress before it sends the events up to that revision.
		if start != 5 {
			require.EqualValues(t, 2, start)
			return
		}
	}
}

// answersAhead confirms watches at revision 1, answers requests for progress with revision 5, and
// never sends the events between the two.
func answersAhead(starts chan<- int64) etcdfake.WatchHandler {
	return func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for id := int64(0); ; {
			req, err := recv()
			if err != nil {
				return err
			}
			resp := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 5}, WatchId: -1}
			switch r := req.RequestUnion.(type) {
			case *pb.WatchRequest_CreateRequest:
				starts <- r.CreateRequest.StartRevision
				resp = &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, WatchId: id,
					Created: true}
				id++
			case *pb.WatchRequest_CancelRequest:
				resp = &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 5},
					WatchId: r.CancelRequest.WatchId, Canceled: true}
			}
			if err := send(resp); err != nil {
				return err
			}
		}
	}
}
