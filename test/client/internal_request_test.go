package client_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// interceptors count requests by method. Requests that the client makes by itself and requests that
// the program makes have separate counts.
type interceptors struct {
	mu      sync.Mutex
	own     map[string]int // by the client itself
	program map[string]int
}

func (i *interceptors) note(ctx context.Context, method string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.own == nil {
		i.own, i.program = map[string]int{}, map[string]int{}
	}
	if clientv3.IsInternalRequest(ctx) {
		i.own[method]++
	} else {
		i.program[method]++
	}
}

// counts returns how many requests of a method were the client's own, and how many the program's.
func (i *interceptors) counts(method string) (own, program int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.own[method], i.program[method]
}

func (i *interceptors) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			i.note(ctx, method)
			return next(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc,
			cc *grpc.ClientConn, method string, next grpc.Streamer,
			opts ...grpc.CallOption) (grpc.ClientStream, error) {
			i.note(ctx, method)
			return next(ctx, desc, cc, method, opts...)
		}),
	}
}

// TestInterceptorsTellTheClientsOwnRequests shows that interceptors can recognise the requests that
// the client makes by itself: logins, the automatic Sync, the version check. If the program makes
// such requests, they are not marked.
func TestInterceptorsTellTheClientsOwnRequests(t *testing.T) {
	s := etcdfake.Start(t, etcdfake.WithUser("root", "secret"))
	seen := &interceptors{}
	c := testclient.New(t, clientv3.Config{
		Endpoints: []string{s.Addr()}, Username: "root", Password: "secret",
		AutoSyncInterval: 10 * time.Millisecond, RejectOldCluster: true,
		DialOptions: seen.options(),
	})
	testclient.Eventually(t, func() bool {
		own, _ := seen.counts(pb.Cluster_MemberList_FullMethodName)
		return own > 0
	}, "an automatic Sync")
	s.ExpireTokens()
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)

	for method, want := range map[string]int{
		pb.Auth_Authenticate_FullMethodName:  2,
		pb.Maintenance_Status_FullMethodName: 1,
		pb.KV_Put_FullMethodName:             0,
	} {
		own, program := seen.counts(method)
		assert.GreaterOrEqual(t, own, want, "%s, the client's own", method)
		assert.Equal(t, want == 0, program > 0, "%s, the program's", method)
	}
	_, err = c.Authenticate(t.Context(), "root", "secret")
	require.NoError(t, err)
	_, err = c.Status(t.Context(), s.Addr())
	require.NoError(t, err)
	require.NoError(t, c.Sync(t.Context()))
	for _, method := range []string{pb.Auth_Authenticate_FullMethodName,
		pb.Maintenance_Status_FullMethodName, pb.Cluster_MemberList_FullMethodName} {
		_, program := seen.counts(method)
		assert.Equal(t, 1, program, "%s, the program's", method)
	}
}

// TestDisableProbesSendsNone: two clients have an idle watch, and one of them has DisableProbes.
// When the other has sent two progress requests, the client with DisableProbes has sent none.
func TestDisableProbesSendsNone(t *testing.T) {
	quiet, silent := testclient.StartFake(t, clientv3.Config{DisableProbes: true})
	asked, probing := testclient.StartFake(t, clientv3.Config{})
	require.NotNil(t, silent.Watch(t.Context(), "k"))
	testclient.Eventually(t, func() bool {
		return len(etcdfake.RequestsOf[*pb.WatchRequest](quiet)) == 1
	}, "the watch is created")
	require.NotNil(t, probing.Watch(t.Context(), "k"))
	testclient.Eventually(t, func() bool {
		return len(etcdfake.RequestsOf[*pb.WatchRequest](asked)) >= 3
	}, "a create and two requests for progress")
	assert.Len(t, etcdfake.RequestsOf[*pb.WatchRequest](quiet), 1)
	assert.Zero(t, quiet.Calls("Status"))
}
