package resolver_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
)

var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

func newClient(t *testing.T, eps ...string) *clientv3.Client {
	t.Helper()
	cli, err := clientv3.New(clientv3.Config{Endpoints: eps, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Close()) })
	return cli
}

func newManager(t *testing.T, cli *clientv3.Client, target string) endpoints.Manager {
	t.Helper()
	m, err := endpoints.NewManager(cli, target)
	require.NoError(t, err)
	return m
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serverHeader is the header in which a server sends its address.
const serverHeader = "served-by"

// serve starts a gRPC server that sends its address with each answer, and returns the address. The
// caller must call the function stop once.
func serve() (addr string, stop func(), err error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = lis.Addr().String()
	s := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any,
			error) {
			if err := grpc.SetHeader(ctx, metadata.Pairs(serverHeader, addr)); err != nil {
				return nil, err
			}
			return h(ctx, req)
		}))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	// s.Stop ends this goroutine. The returned function stop waits for the end.
	go func() {
		defer close(done)
		_ = s.Serve(lis)
	}()
	return addr, func() { s.Stop(); <-done }, nil
}

func newServer(t *testing.T) string {
	t.Helper()
	addr, stop, err := serve()
	require.NoError(t, err)
	t.Cleanup(stop)
	return addr
}

// dial makes a connection to the endpoints of a target; each of them gets its
// share of the calls.
func dial(t *testing.T, cli *clientv3.Client, target string) *grpc.ClientConn {
	t.Helper()
	b, err := resolver.NewBuilder(cli)
	require.NoError(t, err)
	conn, err := grpc.NewClient("etcd:///"+target,
		grpc.WithResolvers(b),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// ask makes one call and returns the address of the server that answered.
func ask(ctx context.Context, conn *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	var header metadata.MD
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{},
		append(opts, grpc.Header(&header))...)
	if err != nil {
		return "", err
	}
	return header.Get(serverHeader)[0], nil
}
