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

// Server is one member of a cluster. A test can set scripts for the methods of the member. All
// methods are safe for concurrent use.
type Server struct {
	*etcdfake.Cluster // the cluster that all Servers of one StartCluster share
	*etcdfake.Member

	// read-only after Start
	tb      testing.TB
	opts    options
	addr    string
	methods map[string]*method // by full name; etcd's methods also by short name
	health  *health.Server
	memory  *grpc.ClientConn // a connection to the member that bypasses the scripts
	log     requestLog

	// running counts the goroutines that run handlers of streams. Such a goroutine may still run
	// for a moment when its stream has ended.
	running sync.WaitGroup
}

// Start starts a cluster of one member, which serves on a free TCP port of 127.0.0.1. The member
// stops at the end of the test. Start fails the test if the member cannot listen.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return StartCluster(tb, 1, opts...)[0]
}

// StartCluster starts a cluster of n members, and returns a Server for each of them. The members
// share one state: a write through one member is visible through all members.
func StartCluster(tb testing.TB, n int, opts ...Option) []*Server {
	tb.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	table := make(scripts, n)
	servers := make([]*Server, n)
	// Clean-ups run in reverse order. So this one runs after the clean-up of etcdfake.New below,
	// which stops the members.
	tb.Cleanup(func() {
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

// Addr returns the server's TCP address, "127.0.0.1:port". The address stays the same after Stop
// and Start.
func (s *Server) Addr() string { return s.addr }

// SetServing sets the status that Check and Watch of the gRPC health service report: SERVING or
// NOT_SERVING. Open Watch streams send the new status.
func (s *Server) SetServing(ok bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ok {
		st = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
}

// Apply sends a unary request to the member, bypassing the scripts, and returns the member's
// answer. A script calls Apply to get an answer that it then returns or changes.
func (s *Server) Apply(
	ctx context.Context, name string, req proto.Message,
) (proto.Message, error) {
	m := s.method(name)
	resp := m.response.New().Interface()
	err := s.memory.Invoke(ctx, m.name, req, resp, grpc.WaitForReady(true))
	return resp, err
}

// scripts maps the TCP address of each Server of a cluster to the Server.
type scripts map[string]*Server

// of returns the Server whose TCP address a request was sent to. It returns nil if the request has
// come over a connection in memory.
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
