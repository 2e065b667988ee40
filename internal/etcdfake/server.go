package etcdfake

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	clusterID = 0xfa4e
	raftTerm  = 2

	// stopWait bounds how long Stop waits for scripts that ignore the end of their context.
	stopWait = 10 * time.Second
	// relistenWait bounds how long Restart tries to get its old port back.
	relistenWait = 5 * time.Second
)

// Server is one fake member. All methods are safe for concurrent use.
type Server struct {
	// read-only after Start
	tb       testing.TB
	opts     options
	memberID uint64
	state    *state
	methods  map[string]*method // by full name
	health   *health.Server
	log      requestLog
	conns    connSet

	running sync.WaitGroup // handlers of streams, which may outlive their stream for a moment

	lifecycle sync.Mutex // held by Stop and Restart, taken before mu

	// guarded by mu
	mu      sync.Mutex
	addr    string
	grpc    *grpc.Server   // nil while stopped
	serving sync.WaitGroup // the goroutine in Serve of the current grpc
}

// Start starts a fake member on a free loopback port and stops it when the test ends. It fails the
// test if it cannot listen.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return start(tb, newState(), opts)
}

func start(tb testing.TB, st *state, opts []Option) *Server {
	tb.Helper()
	o := defaultOptions()
	for _, opt := range opts {
		opt(&o)
	}
	s := &Server{tb: tb, opts: o, state: st, health: health.NewServer()}
	s.log.off = o.canned != nil
	s.methods = s.newMethods()
	if err := s.listen("127.0.0.1:0"); err != nil {
		tb.Fatalf("etcdfake: %v", err)
	}
	s.memberID = s.state.join(&pb.Member{
		Name:       "fake",
		PeerURLs:   []string{"http://" + s.addr + "/peer"},
		ClientURLs: []string{"http://" + s.addr},
	})
	tb.Cleanup(s.Stop)
	return s
}

// StartCluster starts n fake members that share one state: what is written through one is read,
// watched and renewed through all.
func StartCluster(tb testing.TB, n int, opts ...Option) []*Server {
	tb.Helper()
	st, members := newState(), make([]*Server, n)
	for i := range members {
		members[i] = start(tb, st, opts)
	}
	return members
}

// Addr is the server's TCP address, "127.0.0.1:port". It stays the same over Stop and Restart.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// MemberID is the id that the server puts in its headers and in the member list.
func (s *Server) MemberID() uint64 { return s.memberID }

// Conns is the number of open connections.
func (s *Server) Conns() int { return s.conns.len() }

// Accepted is the number of connections accepted since Start.
func (s *Server) Accepted() int { return s.conns.accepted() }

// CloseConns closes every open connection under the server, as a crash of the network would, and
// returns how many there were.
func (s *Server) CloseConns() int { return s.conns.closeAll() }

// SetServing sets what the health service answers and tells its watchers.
func (s *Server) SetServing(ok bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ok {
		st = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
}

// Stop closes the listener and all connections, and waits until every handler has returned. Its
// state, scripts and counters stay for a Restart. A handler that ignores the end of its context
// fails the test after ten seconds. Stop twice is fine.
func (s *Server) Stop() {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.stopLocked()
}

func (s *Server) stopLocked() {
	s.mu.Lock()
	srv := s.grpc
	s.grpc = nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	s.breakAll(errStopped)
	done := make(chan struct{})
	// This goroutine ends when the handlers do; Stop waits for it, and gives up loudly.
	go func() {
		defer close(done)
		srv.Stop()
		s.serving.Wait()
		s.running.Wait()
	}()
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.tb.Errorf("etcdfake: handlers still run %v after Stop: a script ignores its context",
			stopWait)
	}
}

// Restart starts a stopped server again, at the same address and with the same state; it stops a
// running one first.
func (s *Server) Restart() {
	s.tb.Helper()
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.stopLocked()
	if err := s.listen(s.Addr()); err != nil {
		s.tb.Errorf("etcdfake: restart: %v", err)
	}
}

// listen starts serving on addr.
func (s *Server) listen(addr string) error {
	lis, err := relisten(addr)
	if err != nil {
		return err
	}
	srv := grpc.NewServer(serverOptions()...)
	s.register(srv)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.grpc = lis.Addr().String(), srv
	// Ends when Stop stops srv, which closes lis; Stop waits for it.
	s.serving.Go(func() {
		if err := srv.Serve(s.conns.listener(lis)); err != nil &&
			!errors.Is(err, grpc.ErrServerStopped) {
			s.tb.Errorf("etcdfake: serve %v: %v", lis.Addr(), err)
		}
	})
	return nil
}

// relisten listens on addr; another process may hold the port of a stopped server for a moment.
func relisten(addr string) (net.Listener, error) {
	deadline := time.Now().Add(relistenWait)
	for {
		lis, err := net.Listen("tcp", addr)
		if err == nil || time.Now().After(deadline) {
			return lis, err
		}
		timer := time.NewTimer(10 * time.Millisecond)
		<-timer.C
	}
}
