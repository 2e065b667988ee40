package auth_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestIdleWatchOfAnOrdinaryUser: a watch works without Status, which servers from 3.5.28 to 3.6.11
// deny to every user but root. If other keys change and are compacted while the watch has no
// events, the watch can still be resumed. If its member falls silent, the watch moves within 4 s.
func TestIdleWatchOfAnOrdinaryUser(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxies := make([]*faultnet.Proxy, len(members))
	var endpoints []string
	for i, m := range members {
		m.Unary("Status", func(context.Context, proto.Message) (proto.Message, error) {
			return nil, rpctypes.ErrGRPCPermissionDenied
		})
		proxies[i] = faultnet.New(t, m.Addr())
		endpoints = append(endpoints, proxies[i].Addr())
	}
	c := testclient.New(t, clientv3.Config{Endpoints: endpoints})
	admin := testclient.OpenFake(t, members[0])
	events := c.Watch(t.Context(), "idle")

	var rev int64
	for range 50 {
		resp, err := admin.Put(t.Context(), "busy", "x")
		require.NoError(t, err)
		rev = resp.Header.Revision
	}
	at := awaitProgress(t, members)
	_, err := admin.Compact(t.Context(), rev)
	require.NoError(t, err)
	require.Equal(t, 1, members[at].Break("Watch", status.Error(codes.Unavailable, "moved")))
	requirePut(t, admin, events)

	at = awaitProgress(t, members)
	proxies[at].Blackhole(faultnet.Both)
	stall := testclient.Stopwatch(t)
	requirePut(t, admin, events)
	assert.Less(t, stall(), 4*time.Second)
	for _, m := range members {
		assert.Zero(t, m.Calls("Status"))
	}
}

// awaitProgress waits until a member has an open watch stream and has received at least four
// progress requests. It returns the member's index.
func awaitProgress(t *testing.T, members []*etcdfake.Server) (at int) {
	t.Helper()
	for _, m := range members {
		m.ForgetRequests()
	}
	require.Eventually(t, func() bool {
		for i, m := range members {
			asked := 0
			for _, r := range etcdfake.RequestsOf[*pb.WatchRequest](m) {
				if r.GetProgressRequest() != nil {
					asked++
				}
			}
			if open, _ := m.Streams("Watch"); open > 0 && asked >= 4 {
				at = i
				return true
			}
		}
		return false
	}, time.Minute, time.Millisecond)
	return at
}

// requirePut changes the key that is watched and waits for the event.
func requirePut(t *testing.T, admin *clientv3.Client, events clientv3.WatchChan) {
	t.Helper()
	put, err := admin.Put(t.Context(), "idle", "v")
	require.NoError(t, err)
	select {
	case resp := <-events:
		require.NoError(t, resp.Err())
		require.Len(t, resp.Events, 1)
		assert.Equal(t, put.Header.Revision, resp.Events[0].Kv.ModRevision)
	case <-time.After(time.Minute):
		require.Fail(t, "no event")
	}
}
