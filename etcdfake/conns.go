package etcdfake

import (
	"net"
	"sync"
)

// gate lets the bytes of a member's connections through, or holds them back.
type gate struct {
	// guarded by mu
	mu   sync.Mutex
	open chan struct{} // this channel is closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) passage() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// set opens or shuts the gate.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

// connSet holds the open connections of a member.
type connSet struct {
	gate *gate

	// guarded by mu
	mu   sync.Mutex
	open map[*memberConn]struct{}
}

func newConnSet() *connSet {
	return &connSet{gate: newGate(), open: make(map[*memberConn]struct{})}
}

// listener returns a listener that accepts the connections of l and adds them to the set s. It lets
// the bytes of these connections through only while s.gate is open.
func (s *connSet) listener(l net.Listener) net.Listener { return memberListener{l, s} }

func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// closeAll closes all open connections of the member and returns how many there were.
func (s *connSet) closeAll() int {
	s.mu.Lock()
	conns := make([]*memberConn, 0, len(s.open))
	for c := range s.open {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
	return len(conns)
}

type memberListener struct {
	net.Listener
	set *connSet
}

func (l memberListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &memberConn{Conn: conn, set: l.set, closed: make(chan struct{})}
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	l.set.open[c] = struct{}{}
	return c, nil
}

// memberConn is the server's end of a connection. While [Member.Mute] has shut the member's gate,
// reads and writes wait.
type memberConn struct {
	net.Conn
	set    *connSet
	once   sync.Once
	closed chan struct{}
}

func (c *memberConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pass()
	return n, err
}

func (c *memberConn) Write(p []byte) (int, error) {
	c.pass()
	return c.Conn.Write(p)
}

// pass waits until the gate is open, or the connection is closed.
func (c *memberConn) pass() {
	select {
	case <-c.set.gate.passage():
	case <-c.closed:
	}
}

func (c *memberConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}
