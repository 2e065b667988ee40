// Package faultnet is a TCP proxy in front of one server. It makes the network between the server
// and its clients fail on demand.
//
// Faults apply to every chunk of bytes, so they affect all connections, open and new, until Heal.
// There are two kinds:
//   - Blackhole, Pause, Delay and Throttle hold bytes back and lose none. After Heal the connection
//     goes on, like a real one whose lost packets TCP sends again. The end of a connection is held
//     back, too. So a client behind a Blackhole does not learn that its server has closed the
//     connection.
//   - Drop, CutAfter and Reset lose bytes.
//
// The proxy differs from a network that loses packets in one way. The kernel under the proxy still
// acknowledges the bytes that the client sends. So TCP's own timers see a peer that is alive.
package faultnet

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

const (
	dialTimeout  = 10 * time.Second
	acceptRetry  = 10 * time.Millisecond
	readSize     = 32 << 10
	queued       = 1024 // the number of chunks that may wait in one direction of a connection
	throttleStep = 50 * time.Millisecond
)

// Direction is a direction in which bytes go through a proxy.
type Direction int

// The directions of bytes. Both means both directions at once.
const (
	ToServer Direction = 1
	ToClient Direction = 2
	Both               = ToServer | ToClient
)

func (d Direction) other() Direction { return Both - d }

// Proxy forwards connections to a target and injects faults. All methods are safe for concurrent
// use.
type Proxy struct {
	// read-only after Listen
	target string
	lis    net.Listener
	ctx    context.Context // ends when Close is called
	cancel context.CancelFunc

	// safe for concurrent use without mu
	running sync.WaitGroup     // counts all goroutines of the proxy
	bytes   [Both]atomic.Int64 // the bytes delivered, by direction

	// guarded by mu
	mu       sync.Mutex
	rules    rules
	changed  chan struct{} // closed and replaced when the rules change
	links    map[*link]struct{}
	accepted int
}

// New starts a proxy on a free loopback port, and closes it when the test ends. target is
// "host:port". The proxy dials the target for each new connection, so the target need not be
// listening yet.
func New(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := Listen(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Listen is [New] for programs that are not tests: the caller must close the proxy.
func Listen(target string) (*Proxy, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultnet: %w", err)
	}
	p := &Proxy{lis: lis, target: target, changed: make(chan struct{}),
		links: make(map[*link]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	// The goroutine ends when Close closes the listener. Close waits for the goroutine.
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the address for clients to connect to, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// Close closes the listener and all connections, and waits for all goroutines of the proxy.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.lis.Close()
	for _, l := range p.open() {
		l.close()
	}
	p.running.Wait()
}

// Conns returns the number of open connections.
func (p *Proxy) Conns() int { return len(p.open()) }

// Accepted returns the number of connections that clients have made, including refused ones.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Bytes returns how many bytes were delivered in a direction. Bytes(Both) returns the sum of both
// directions.
func (p *Proxy) Bytes(dir Direction) (n int64) {
	for d := range p.bytes {
		if Direction(d)&dir != 0 {
			n += p.bytes[d].Load()
		}
	}
	return n
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.links))
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept() {
	for p.ctx.Err() == nil {
		conn, err := p.lis.Accept()
		if err != nil { // for example, out of file descriptors
			_ = backoff.Wait(p.ctx, acceptRetry)
			continue
		}
		if l := p.add(conn); l != nil {
			// The goroutine ends when the link is closed. Close closes all links and waits for the
			// goroutine.
			p.running.Go(l.run)
		}
	}
}

// add makes a link from an accepted connection. If the proxy is closed or refuses connections, it
// resets the connection and returns nil.
func (p *Proxy) add(conn net.Conn) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted++
	if p.ctx.Err() != nil || p.rules.refuse {
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

// current returns the rules in force and a channel that is closed when they change.
func (p *Proxy) current() (rules, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules, p.changed
}
