package balancer

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// server is a member that takes puts and answers health checks. It counts puts, accepted
// connections, and the health checks that are open.
type server struct {
	pb.UnimplementedKVServer
	*health.Server

	addr   string
	grpc   *grpc.Server
	refuse error // the error that health checks get; nil if they succeed

	puts, accepted atomic.Int32
	checks         atomic.Int32 // streams of health checks that are open

	// guarded by mu
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// startServer starts a server that has a health service. If refuse is not nil, health checks fail
// with this error. When the test ends, its cleanup stops the server.
func startServer(t *testing.T, refuse error) *server {
	t.Helper()
	s := newServer(refuse)
	healthpb.RegisterHealthServer(s.grpc, s)
	s.serve(t)
	return s
}

func newServer(refuse error) *server {
	return &server{Server: health.NewServer(), grpc: grpc.NewServer(grpc.WaitForHandlers(true)),
		refuse: refuse, open: make(map[net.Conn]struct{})}
}

func (s *server) serve(t *testing.T) {
	t.Helper()
	pb.RegisterKVServer(s.grpc, s)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = lis.Addr().String()
	var serving sync.WaitGroup
	// The goroutine ends when the test's cleanup stops the server.
	serving.Go(func() { _ = s.grpc.Serve(countingListener{lis, s}) })
	t.Cleanup(func() {
		s.grpc.Stop()
		serving.Wait()
	})
}

func (s *server) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	s.puts.Add(1)
	return &pb.PutResponse{}, nil
}

func (s *server) Watch(req *healthpb.HealthCheckRequest, w healthpb.Health_WatchServer) error {
	if s.refuse != nil {
		return s.refuse
	}
	s.checks.Add(1)
	defer s.checks.Add(-1)
	return s.Server.Watch(req, w)
}

func (s *server) setServing(ok bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ok {
		st = healthpb.HealthCheckResponse_SERVING
	}
	s.SetServingStatus("", st)
}

func (s *server) conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// cut closes all connections.
func (s *server) cut() {
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
}

type countingListener struct {
	net.Listener
	s *server
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.accepted.Add(1)
	c := &countedConn{conn, l.s}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.open[c] = struct{}{}
	return c, nil
}

type countedConn struct {
	net.Conn
	s *server
}

func (c *countedConn) Close() error {
	c.s.mu.Lock()
	delete(c.s.open, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}
