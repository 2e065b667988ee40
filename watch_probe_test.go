package clientv3

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// TestProgressProbesAreNotShown: the client asks for progress by itself, and nobody who
// did not ask sees the answers.
func TestProgressProbesAreNotShown(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	events := c.Watch(t.Context(), "k")
	eventually(t, func() bool { return progressRequests(s) >= 2 }, "progress is asked for")
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.Len(t, (<-events).Events, 1)
}

// TestWatchesOpenedOnASilentMember: a member goes silent after it was connected to and before watch
// streams are opened on it. Creates that stay unanswered have the members probed, so the watches go
// on elsewhere before any of them was confirmed.
func TestWatchesOpenedOnASilentMember(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	proxy := faultnet.New(t, members[0].Addr())
	c := newTestClient(t, Config{Endpoints: []string{proxy.Addr(), members[1].Addr(),
		members[2].Addr()}})
	eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range")*members[1].Calls("Range")*members[2].Calls(
			"Range") > 0
	}, "all are connected")
	proxy.Blackhole(faultnet.Both)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var opening sync.WaitGroup
	for i := range 6 { // so many streams, two of them on each member
		opening.Go(func() {
			ctx := metadata.AppendToOutgoingContext(ctx, "stream", strconv.Itoa(i))
			assert.True(t, (<-c.Watch(ctx, "k", WithCreatedNotify())).Created)
		})
	}
	opening.Wait()
}

// TestWatchLeavesAMemberSilentFromTheStart: a watch moves to another member if its own goes silent
// before it has answered any request for progress.
func TestWatchLeavesAMemberSilentFromTheStart(t *testing.T) {
	for name, known := range map[string]bool{"that is not known to answer": false,
		"that is": true} {
		t.Run(name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, 2)
			proxies := []*faultnet.Proxy{faultnet.New(t, members[0].Addr()),
				faultnet.New(t, members[1].Addr())}
			c := newTestClient(t, Config{Endpoints: []string{proxies[0].Addr(), proxies[1].Addr()}})
			eventually(t, func() bool {
				_, err := c.Get(t.Context(), "k")
				return err == nil && members[0].Calls("Range")*members[1].Calls("Range") > 0
			}, "both are connected")
			if known {
				ctx, cancel := context.WithCancel(t.Context())
				c.Watch(metadata.AppendToOutgoingContext(ctx, "stream", "first"), "k")
				eventually(t, func() bool {
					return progressRequests(members[0])+progressRequests(members[1]) > 1
				}, "progress is asked for")
				cancel()
				eventually(t, func() bool {
					return openWatchStreams(members[0])+openWatchStreams(members[1]) == 0
				}, "the stream ends")
			}
			events := c.Watch(t.Context(), "k", WithCreatedNotify())
			require.True(t, (<-events).Created)
			proxies[openWatchStreams(members[1])].Blackhole(faultnet.Both)
			_, err := newTestClient(t, Config{Endpoints: []string{members[0].Addr()}}).Put(
				t.Context(), "k", "v")
			require.NoError(t, err)
			select {
			case resp := <-events:
				require.Len(t, resp.Events, 1)
			case <-time.After(10 * time.Second):
				t.Fatal("the watch was not moved")
			}
		})
	}
}

func openWatchStreams(s *etcdfake.Server) int {
	open, _ := s.Streams("Watch")
	return open
}

func progressRequests(s *etcdfake.Server) (n int) {
	for _, r := range etcdfake.RequestsOf[*pb.WatchRequest](s) {
		if r.GetProgressRequest() != nil {
			n++
		}
	}
	return n
}

// TestIdleWatchOutlivesACompaction: while a watch is idle, other keys change and
// are compacted during an outage. It missed nothing, so it must not end.
func TestIdleWatchOutlivesACompaction(t *testing.T) {
	cluster := etcdtest.Start(t)
	c := newTestClient(t, Config{Endpoints: cluster.Endpoints()})
	events := c.Watch(t.Context(), "idle")
	_, err := c.Put(t.Context(), "idle", "1")
	require.NoError(t, err)
	require.Len(t, (<-events).Events, 1)
	var rev int64
	for range 100 {
		resp, err := c.Put(t.Context(), "busy", "x")
		require.NoError(t, err)
		rev = resp.Header.Revision
	}
	time.Sleep(watchProbePeriod + 3*watchSettle) // progress moves the watch on
	_, err = c.Compact(t.Context(), rev)
	require.NoError(t, err)
	require.NoError(t, cluster.Restart())
	_, err = c.Put(t.Context(), "idle", "2")
	require.NoError(t, err)
	resp := <-events
	require.NoError(t, resp.Err())
	require.Len(t, resp.Events, 1)
	assert.Equal(t, "2", string(resp.Events[0].Kv.Value))
}

// TestProgressOfAServerThatAnswersAhead: before 3.4.25 and 3.5.8 servers answer a request for
// progress before they send the events that the answer speaks for. A watch that is cut off
// between the two gets them from the next stream, whatever the server's version and
// whatever the balancer.
func TestProgressOfAServerThatAnswersAhead(t *testing.T) {
	for name, cfg := range map[string]Config{"with health": {}, "evenly": {SpreadEvenly: true},
		"without probes": {DisableProbes: true}} {
		for version, evenIf := range map[string]error{"3.5.5": nil, "3.5.13": nil,
			"3.7.3": rpctypes.ErrGRPCPermissionDenied} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				s, c := newFakeClient(t, cfg, etcdfake.WithVersion(version))
				if evenIf != nil {
					s.Fail("Status", 1000, evenIf)
				}
				starts := make(chan int64, 100)
				s.Watch(answersAhead(starts))
				events := c.Watch(t.Context(), "k")
				require.Zero(t, <-starts)
				time.Sleep(watchSettle + watchPatience) // the client's own request is answered too
				for range 3 {
					require.NoError(t, c.RequestProgress(t.Context()))
					answer := <-events
					require.True(t, answer.IsProgressNotify(), "it is shown in any case")
				}
				require.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCStopped))
				for start := range starts {
					if start != 5 { // of a shadow
						require.EqualValues(t, 2, start)
						return
					}
				}
			})
		}
	}
}

// answersAhead confirms watches at revision 1 and is at revision 5, of which it never sends the
// events.
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

// TestServerThatDoesNotAnswerIsAskedOnce: if a server leaves the first request for progress
// unanswered, as etcd's proxy does, no stream asks it again. The proxy logs an error for each such
// request.
func TestServerThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	for name, cfg := range map[string]Config{"with health": {}, "evenly": {SpreadEvenly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := newFakeClient(t, cfg)
			s.Watch(withoutProgress(s))
			events := c.Watch(t.Context(), "k")
			eventually(t, func() bool { return progressRequests(s) == 1 }, "progress is asked for")
			time.Sleep(watchNeverAnswers)
			require.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCStopped))
			other := c.Watch(metadata.AppendToOutgoingContext(t.Context(), "a", "b"), "k")
			time.Sleep(2 * watchSettle)
			_, err := c.Put(t.Context(), "k", "v")
			require.NoError(t, err)
			assert.Len(t, (<-events).Events, 1)
			assert.Len(t, (<-other).Events, 1)
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
