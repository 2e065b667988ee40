package etcdfake

import (
	"net"
	"sync"
)

// connSet holds the open connections of a server.
type connSet struct {
	// guarded by mu
	mu    sync.Mutex
	open  map[*countedConn]struct{}
	total int
}

func (c *connSet) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

func (c *connSet) accepted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

func (c *connSet) closeAll() int {
	c.mu.Lock()
	conns := make([]*countedConn, 0, len(c.open))
	for conn := range c.open {
		conns = append(conns, conn)
	}
	c.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
	}
	return len(conns)
}

func (c *connSet) add(conn *countedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*countedConn]struct{})
	}
	c.open[conn] = struct{}{}
	c.total++
}

func (c *connSet) remove(conn *countedConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// listener returns l with its connections counted in c.
func (c *connSet) listener(l net.Listener) net.Listener {
	return &countedListener{Listener: l, set: c}
}

type countedListener struct {
	net.Listener
	set *connSet
}

func (l *countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counted := &countedConn{Conn: conn, set: l.set}
	l.set.add(counted)
	return counted, nil
}

type countedConn struct {
	net.Conn
	set *connSet
}

func (c *countedConn) Close() error {
	c.set.remove(c)
	return c.Conn.Close()
}
