package clientv3

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// TestWatchThatFollowsAListLeavesASilentMember: a watch from the revision after a list is on a
// member that is cut off while the store is at rest. etcd leaves requests for progress unanswered
// until the store has reached that revision, so a missing answer proves nothing: the members are
// probed instead, and the watch moves.
func TestWatchThatFollowsAListLeavesASilentMember(t *testing.T) {
	for name, before := range map[string]int{"at rest": 0, "after its first event": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			members := etcdfake.StartCluster(t, 2)
			proxies := []*faultnet.Proxy{faultnet.New(t, members[0].Addr()),
				faultnet.New(t, members[1].Addr())}
			for _, m := range members {
				m.Watch(silentWhileAhead(m))
			}
			c := newTestClient(t, Config{Endpoints: []string{proxies[0].Addr(), proxies[1].Addr()}})
			eventually(t, func() bool {
				_, err := c.Get(t.Context(), "k")
				return err == nil && members[0].Calls("Range")*members[1].Calls("Range") > 0
			}, "both are connected")

			events := c.Watch(t.Context(), "k", WithRev(members[0].Revision()+1),
				WithCreatedNotify())
			require.True(t, (<-events).Created)
			serving := openWatchStreams(members[1])
			eventually(t, func() bool {
				return progressRequests(members[serving]) > 0
			}, "progress is asked for")

			writer := newTestClient(t, Config{Endpoints: []string{members[0].Addr()}})
			for range before {
				_, err := writer.Put(t.Context(), "k", "v")
				require.NoError(t, err)
				require.Len(t, (<-events).Events, 1)
			}
			proxies[serving].Blackhole(faultnet.Both)
			_, err := writer.Put(t.Context(), "k", "v")
			require.NoError(t, err)
			select {
			case resp := <-events:
				require.Len(t, resp.Events, 1)
			case <-time.After(8 * time.Second): // HTTP/2 pings take longer
				t.Fatal("the watch was not moved")
			}
		})
	}
}

// silentWhileAhead serves watches as etcd does, which ignores requests for progress while
// a watch of the stream is from a revision that the store has not reached.
func silentWhileAhead(s *etcdfake.Server) etcdfake.WatchHandler {
	return func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		ahead := int64(0)
		return s.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			for {
				req, err := recv()
				ahead = max(ahead, req.GetCreateRequest().GetStartRevision())
				if req.GetCancelRequest() != nil {
					ahead = 0 // there is one watch, which has another id now
				}
				if err != nil || req.GetProgressRequest() == nil || ahead <= s.Revision() {
					return req, err
				}
			}
		}, send)
	}
}
