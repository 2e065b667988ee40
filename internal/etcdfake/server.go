package etcdfake

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// Server is one member with a script. All methods are safe for concurrent use.
type Server struct {
	*etcdfake.Cluster // which the members of StartCluster share
	*etcdfake.Member

	// read-only after Start
	tb      testing.TB
	opts    options
	addr    string
	methods map[string]*method // by full name; those of etcd by the short one, too
	health  *health.Server
	memory  *grpc.ClientConn // to the member without the script
	log     requestLog

	running sync.WaitGroup // handlers of streams, which may outlive their stream for a moment
}

// Start starts a member on a free loopback port and stops it when the test ends. It fails the test
// if it cannot listen.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return StartCluster(tb, 1, opts...)[0]
}

// StartCluster starts n members that share one state: what is written through one is read, watched
// and renewed through all.
func StartCluster(tb testing.TB, n int, opts ...Option) []*Server {
	tb.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	table := make(scripts, n)
	servers := make([]*Server, n)
	tb.Cleanup(func() { // after the members have stopped
		for _, s := range servers {
			s.running.Wait()
		}
	})
	cluster := etcdfake.New(tb, append(o.cluster, etcdfake.WithMembers(n),
		etcdfake.WithServerOptions(grpc.ChainUnaryInterceptor(table.unary),
			grpc.ChainStreamInterceptor(table.stream)))...)
	for i := range servers {
		servers[i] = newServer(tb, cluster, i, o)
		table[servers[i].addr] = servers[i]
	}
	return servers
}

func newServer(tb testing.TB, cluster *etcdfake.Cluster, index int, o options) *Server {
	tb.Helper()
	s := &Server{Cluster: cluster, Member: cluster.Member(index), tb: tb, opts: o,
		health: health.NewServer(), methods: newMethods()}
	s.log.off = o.canned != nil
	for name, answer := range o.canned {
		s.methods[name].canned = answer
	}
	var err error
	s.memory, err = grpc.NewClient("passthrough:///"+s.Endpoint(),
		grpc.WithContextDialer(cluster.Dialer()),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatalf("etcdfake: %v", err)
	}
	tb.Cleanup(func() { _ = s.memory.Close() })
	s.addr = s.Member.Listen()
	return s
}

// Addr is the server's TCP address, "127.0.0.1:port". It stays the same over Stop and Start.
func (s *Server) Addr() string { return s.addr }

// SetServing sets what the health service answers and tells its watchers.
func (s *Server) SetServing(ok bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ok {
		st = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
}

// Apply gives the member's answer to a unary request, for scripts that only change some answers.
func (s *Server) Apply(
	ctx context.Context, name string, req proto.Message,
) (proto.Message, error) {
	m := s.method(name)
	resp := m.response.New().Interface()
	err := s.memory.Invoke(ctx, m.name, req, resp, grpc.WaitForReady(true))
	return resp, err
}

// scripts are the servers of a cluster by their TCP addresses.
type scripts map[string]*Server

// of finds the server that a request has come to over TCP.
func (t scripts) of(ctx context.Context) *Server {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	addr, ok := p.LocalAddr.(*net.TCPAddr)
	if !ok {
		return nil
	}
	return t[addr.String()]
}

func (t scripts) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	s := t.of(ctx)
	if s == nil {
		return next(ctx, req)
	}
	return s.serveUnary(ctx, s.methods[info.FullMethod], req.(proto.Message), next)
}

func (t scripts) stream(
	srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	s := t.of(ss.Context())
	if s == nil {
		return next(srv, ss)
	}
	return s.serveStream(s.methods[info.FullMethod], ss,
		func(ss grpc.ServerStream) error { return next(srv, ss) })
}
