package faultnet

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	dialTimeout  = 10 * time.Second
	acceptRetry  = 10 * time.Millisecond
	readSize     = 32 << 10
	maxQueued    = 1 << 20 // bytes a connection holds in one direction
	throttleStep = 50 * time.Millisecond
)

// Direction is the way bytes go through a proxy.
type Direction int

// The directions; Both is their union.
const (
	ToServer Direction = 1 << iota
	ToClient
	Both = ToServer | ToClient
)

// way is a direction as an index.
type way int

const (
	up   way = iota // to the server
	down            // to the client
	ways
)

func (w way) other() way { return 1 - w }

func (d Direction) has(w way) bool { return d&(1<<w) != 0 }

// Proxy forwards connections to a target and injects faults. All methods are safe for concurrent
// use.
type Proxy struct {
	// read-only after New
	target string
	lis    net.Listener
	ctx    context.Context // ends with close
	cancel context.CancelFunc

	// own synchronisation
	running sync.WaitGroup // all goroutines
	bytes   [ways]atomic.Int64

	// guarded by mu
	mu       sync.Mutex
	rules    rules
	changed  chan struct{} // closed and replaced when the rules change
	links    map[*link]struct{}
	accepted int
	closed   bool
}

// New starts a proxy on a free loopback port and closes it when the test ends. The target is
// "host:port"; it is dialled anew for every connection and need not exist yet.
func New(tb testing.TB, target string) *Proxy {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("faultnet: %v", err)
	}
	p := &Proxy{lis: lis, target: target, changed: make(chan struct{}),
		links: make(map[*link]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	// Ends when close closes the listener; close waits for it.
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Addr is the address to connect to, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// close closes the listener and all connections, and waits for all goroutines of the proxy.
func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	_ = p.lis.Close()
	for _, l := range p.open() {
		l.close()
	}
	p.running.Wait()
}

// Conns is the number of open connections.
func (p *Proxy) Conns() int { return len(p.open()) }

// Accepted is the number of connections that clients made since the start, refused ones included.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Bytes is how many bytes were delivered in a direction since the start.
func (p *Proxy) Bytes(dir Direction) int64 {
	var n int64
	for w := range ways {
		if dir.has(w) {
			n += p.bytes[w].Load()
		}
	}
	return n
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		conn, err := p.lis.Accept()
		if p.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		if err != nil { // out of file descriptors, perhaps
			timer := time.NewTimer(acceptRetry)
			select {
			case <-timer.C:
			case <-p.ctx.Done():
				timer.Stop()
			}
			continue
		}
		if l := p.add(conn); l != nil {
			// Ends when the link is closed, at the latest by close, which waits for it.
			p.running.Go(l.run)
		}
	}
}

// add makes a link of an accepted connection, unless the proxy is closed or refuses it.
func (p *Proxy) add(conn net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted++
	if p.closed || p.rules.refuse {
		abort(conn)
		return nil
	}
	l := newLink(p, conn)
	p.links[l] = struct{}{}
	return l
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

func (p *Proxy) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(p.ctx, "tcp", p.target)
}

// abort closes a connection with a reset where it can.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
