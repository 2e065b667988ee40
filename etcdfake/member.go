package etcdfake

import (
	"context"
	"errors"
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"go.etcd.io/etcd/client/v3/etcdfake/internal/memnet"
	"go.etcd.io/etcd/client/v3/etcdfake/internal/store"
)

// stopWait is how long shutDown waits for the member's handlers to return. Only a handler that
// ignores the end of its context runs so long.
const stopWait = 10 * time.Second

// Member is one member of a cluster. Its methods are safe for concurrent use.
type Member struct {
	// read-only after New
	c      *Cluster
	index  int
	id     uint64
	conns  *connSet
	health *health.Server

	// handlers counts the goroutines that serve streams. Such a goroutine may still run for a
	// moment when its stream has ended.
	handlers sync.WaitGroup

	// guarded by mu
	mu      sync.Mutex
	grpc    *grpc.Server // nil while the member is stopped
	memory  *memnet.Listener
	serving *sync.WaitGroup // the goroutines that run Serve of the gRPC server
	tcp     string          // the TCP address; "" before Listen
	lag     time.Duration
	busy    time.Time // the end of the last defragmentation; requests wait until then
	streams map[*serverStream]struct{}
}

func newMember(c *Cluster, index int) *Member {
	m := &Member{c: c, index: index, id: memberID(index), conns: newConnSet(),
		health: health.NewServer(), streams: make(map[*serverStream]struct{})}
	m.serve()
	return m
}

// ID returns the member's id in the member list and in the headers of its answers.
func (m *Member) ID() uint64 { return m.id }

// Endpoint returns the member's address in memory, such as "http://etcdfake-0:2379".
func (m *Member) Endpoint() string { return "http://" + memoryAddr(m.index) }

// serve starts a gRPC server on the member's in-memory address, and also on its TCP address if it
// has one.
func (m *Member) serve() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grpc = m.newServer()
	m.memory = memnet.Listen(memnet.Addr(memoryAddr(m.index)))
	m.serving = new(sync.WaitGroup)
	m.serveOn(m.memory)
	if m.tcp != "" {
		if _, err := m.listenTCP(m.tcp); err != nil {
			m.c.tb.Errorf("etcdfake: member %d cannot listen again: %v", m.index, err)
		}
	}
}

func (m *Member) newServer() *grpc.Server {
	own := []grpc.ServerOption{
		grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(math.MaxUint32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.ChainUnaryInterceptor(m.interceptUnary),
		grpc.ChainStreamInterceptor(m.interceptStream),
	}
	srv := grpc.NewServer(slices.Concat(own, m.c.opts.server)...)
	m.register(srv)
	healthpb.RegisterHealthServer(srv, m.health)
	return srv
}

// serveOn serves the connections of a listener. Callers hold m.mu.
func (m *Member) serveOn(l net.Listener) {
	srv := m.grpc
	// The goroutine ends when shutDown stops srv, which closes the listener. shutDown waits for the
	// goroutine.
	m.serving.Go(func() {
		err := srv.Serve(m.conns.listener(l))
		if err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
			m.c.tb.Errorf("etcdfake: member %d: serve on %v: %v", m.index, l.Addr(), err)
		}
	})
}

// Listen makes the member serve on a free TCP port of this machine as well. It returns the address,
// "127.0.0.1:port". The member keeps the address until the end of the test, also after Stop and
// Start. The member list then shows the TCP address in place of the in-memory one.
//
// TCP uses real time, so a test in a bubble of testing/synctest cannot use Listen. Listen fails the
// test if the member is stopped, or if it cannot listen on a port.
func (m *Member) Listen() string {
	m.c.tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tcp != "" {
		return m.tcp
	}
	if m.grpc == nil {
		m.c.tb.Fatalf("etcdfake: Listen on member %d, which is stopped", m.index)
	}
	addr, err := m.listenTCP("127.0.0.1:0")
	if err != nil {
		m.c.tb.Fatalf("etcdfake: member %d: %v", m.index, err)
	}
	m.tcp = addr
	m.c.store.SetClientURLs(m.id, "http://"+addr)
	return addr
}

func (m *Member) listenTCP(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	m.serveOn(l)
	return l.Addr().String(), nil
}

func (m *Member) dial(ctx context.Context) (net.Conn, error) {
	m.mu.Lock()
	l := m.memory
	m.mu.Unlock()
	return l.Dial(ctx)
}

// Stop stops the member. It closes the member's listeners and connections, so calls and streams on
// these connections fail. Stop fails the test if the member is stopped already.
func (m *Member) Stop() {
	m.c.tb.Helper()
	if !m.shutDown() {
		m.c.tb.Errorf("etcdfake: Stop of member %d, which is stopped already", m.index)
	}
}

// Start starts a stopped member again, at the same addresses. It fails the test if the member is
// not stopped.
func (m *Member) Start() {
	m.c.tb.Helper()
	m.mu.Lock()
	running := m.grpc != nil
	m.mu.Unlock()
	if running {
		m.c.tb.Errorf("etcdfake: Start of member %d, which runs already", m.index)
		return
	}
	m.serve()
}

// shutDown stops the member, and waits for the member's handlers for at most stopWait. It returns
// false if the member was stopped already.
func (m *Member) shutDown() bool {
	m.mu.Lock()
	srv, memory, serving := m.grpc, m.memory, m.serving
	m.grpc = nil
	m.mu.Unlock()
	if srv == nil {
		return false
	}
	_ = memory.Close()
	m.conns.closeAll()
	done := make(chan struct{})
	// The goroutine ends when all handlers have ended. shutDown waits for the goroutine, for at
	// most stopWait.
	go func() {
		defer close(done)
		srv.Stop()
		serving.Wait()
		m.handlers.Wait()
	}()
	timer := time.NewTimer(stopWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		m.c.tb.Errorf("etcdfake: member %d: handlers still run %v after its end; a function given"+
			" to On ignores the context of its call", m.index, stopWait)
	}
	return true
}

// Conns returns how many connections to the member are open.
func (m *Member) Conns() int { return m.conns.len() }

// Cut closes all open connections of the member, as a broken network does, and returns how many
// there were. The member still accepts new connections.
func (m *Member) Cut() int { return m.conns.closeAll() }

// EndStreams ends the open streams of a method with a status, as a proxy or a member does when it
// shuts down. It returns how many streams were open. A client sees a nil err as io.EOF. Streams
// that are opened later are not affected. EndStreams fails the test if there is no such method.
func (m *Member) EndStreams(name Method, err error) int {
	m.c.tb.Helper()
	open := m.streamsOf("EndStreams", name)
	for _, s := range open {
		s.end(err)
	}
	return len(open)
}

// Streams returns how many streams of a method are open. It fails the test if there is no such
// method.
func (m *Member) Streams(name Method) int {
	m.c.tb.Helper()
	return len(m.streamsOf("Streams", name))
}

func (m *Member) streamsOf(use string, name Method) (open []*serverStream) {
	m.c.tb.Helper()
	full, ok := fullName(name)
	if !ok {
		m.c.tb.Fatalf("etcdfake: %s of the method %q, which etcd does not have", use, name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		if s.meth.name == full {
			open = append(open, s)
		}
	}
	return open
}

// Mute makes the member silent. The member still accepts connections and bytes, but does not read
// requests and does not answer, like a process that is stopped by SIGSTOP. After Unmute the member
// handles the requests that have arrived in the meantime.
func (m *Member) Mute() { m.conns.gate.set(false) }

// Unmute ends the silence that Mute has begun.
func (m *Member) Unmute() { m.conns.gate.set(true) }

// Lag makes the member see every change with a delay of d; 0 ends the lag. The member's
// serializable reads and its watches show the state as it was d ago. Its answers to requests that
// need a leader, such as writes and linearizable reads, come d later.
func (m *Member) Lag(d time.Duration) {
	m.mu.Lock()
	m.lag = d
	streams := m.openStreams()
	m.mu.Unlock()
	for _, s := range streams {
		s.poke()
	}
}

// Defragment holds back all requests to the member for d, as a defragmentation does. Watches and
// keepalive streams that are open send nothing for that long.
func (m *Member) Defragment(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = time.Now().Add(d)
}

func (m *Member) lagging() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lag
}

func (m *Member) openStreams() []*serverStream {
	streams := make([]*serverStream, 0, len(m.streams))
	for s := range m.streams {
		streams = append(streams, s)
	}
	return streams
}

func (m *Member) caller(tokens []string) store.Caller {
	return store.Caller{Member: m.id, Tokens: tokens, Lag: m.lagging()}
}

// awaitDefragmentation waits until the defragmentation has ended, if Defragment was called. If ctx
// ends first, it returns the gRPC status of the error of ctx.
func (m *Member) awaitDefragmentation(ctx context.Context) error {
	m.mu.Lock()
	busy := time.Until(m.busy)
	m.mu.Unlock()
	return wait(ctx, busy)
}
