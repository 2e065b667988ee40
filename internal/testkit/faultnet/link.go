package faultnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection through the proxy: for each direction a reader, a queue and a writer.
type link struct {
	// read-only after newLink
	proxy *Proxy
	done  chan struct{} // closed by close

	// own synchronisation
	once sync.Once
	lost atomic.Bool  // bytes were dropped
	ends atomic.Int32 // directions that ended by themselves

	// guarded by mu
	mu sync.Mutex
	// where each direction is written to; the server's is nil until it is dialled
	conns [ways]net.Conn
}

func newLink(p *Proxy, client net.Conn) *link {
	l := &link{proxy: p, done: make(chan struct{})}
	l.conns[down] = client
	return l
}

// run connects to the target and forwards until the link is closed.
func (l *link) run() {
	defer l.close()
	if !l.connect() {
		l.reset()
		return
	}
	var pumps sync.WaitGroup
	for w := range ways {
		q := newQueue()
		// These end when the link is closed, at the latest by Proxy.close; run waits for them, and
		// Proxy.close for run.
		pumps.Go(func() { l.read(w, q) })
		pumps.Go(func() { l.write(w, q) })
	}
	pumps.Wait()
}

// connect dials the target once packets may reach it.
func (l *link) connect() bool {
	if !l.pass(up) {
		return false
	}
	server, err := l.proxy.dial()
	if err != nil {
		return false
	}
	l.mu.Lock()
	if l.isClosed() {
		l.mu.Unlock()
		abort(server)
		return false
	}
	l.conns[up] = server
	l.mu.Unlock()
	return true
}

// conn is where a direction is written to.
func (l *link) conn(w way) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[w]
}

// read moves what arrives into the queue. It stops reading while the direction is blocked.
func (l *link) read(w way, q *queue) {
	src := l.conn(w.other())
	buf := make([]byte, readSize)
	for l.pass(w) {
		n, err := src.Read(buf)
		if n > 0 && !q.push(chunk{data: bytes.Clone(buf[:n]), at: time.Now()}, l.done) {
			return
		}
		if err != nil {
			end := endReset
			if errors.Is(err, io.EOF) {
				end = endEOF
			}
			q.push(chunk{end: end, at: time.Now()}, l.done)
			return
		}
	}
}

// write delivers the queue's chunks when their time has come and the direction is not blocked.
func (l *link) write(w way, q *queue) {
	for {
		c, ok := q.pop(l.done)
		if !ok || !l.due(c.at) || !l.pass(w) {
			return
		}
		switch c.end {
		case endReset:
			l.reset()
			return
		case endEOF:
			l.halfClose(w)
			if l.ends.Add(1) == int32(ways) {
				l.close()
			}
			return
		}
		if !l.deliver(w, c.data) {
			return
		}
	}
}

// deliver writes data, at the throttle's speed and up to a cut; false ends the direction.
func (l *link) deliver(w way, data []byte) bool {
	for len(data) > 0 {
		if !l.pass(w) {
			return false
		}
		r, changed := l.proxy.current()
		if r.drop[w] {
			l.lost.Store(true)
			return true
		}
		n := len(data)
		if r.rate > 0 {
			n = min(n, max(1, int(int64(r.rate)*int64(throttleStep)/int64(time.Second))))
		}
		n, cut := l.proxy.take(w, n)
		if !l.put(w, data[:n]) {
			return false
		}
		if cut {
			l.close()
			return false
		}
		data = data[n:]
		if r.rate > 0 && !l.sleep(time.Duration(n)*time.Second/time.Duration(r.rate), changed) {
			return false
		}
	}
	return true
}

// put writes to the receiver. When that is gone the sender learns of it by a reset, which goes the
// other way.
func (l *link) put(w way, data []byte) bool {
	n, err := l.conn(w).Write(data)
	l.proxy.bytes[w].Add(int64(n))
	if err == nil {
		return true
	}
	if l.pass(w.other()) {
		l.reset()
	}
	return false
}

// pass waits until the direction is not blocked; false means that the link is closed.
func (l *link) pass(w way) bool {
	for {
		r, changed := l.proxy.current()
		if !r.paused && !r.blackhole[w] {
			return !l.isClosed()
		}
		select {
		case <-changed:
		case <-l.done:
			return false
		}
	}
}

// due waits until a chunk that arrived at a time has been delayed enough; false means that the link
// is closed.
func (l *link) due(at time.Time) bool {
	for {
		r, changed := l.proxy.current()
		wait := r.delay - time.Since(at)
		if wait <= 0 {
			return true
		}
		if !l.sleep(wait, changed) {
			return false
		}
	}
}

// sleep waits for d, or until the rules change; false means that the link is closed.
func (l *link) sleep(d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-l.done:
		return false
	}
	return true
}

// current is the rules in force and a channel that is closed when they change.
func (p *Proxy) current() (rules, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rules, p.changed
}

func (l *link) halfClose(w way) {
	if half, ok := l.conn(w).(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func (l *link) isClosed() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// close ends the link; what was written before still reaches its receiver.
func (l *link) close() { l.end(func(conn net.Conn) { _ = conn.Close() }) }

// reset ends the link with a TCP reset to both sides.
func (l *link) reset() { l.end(abort) }

func (l *link) end(closeConn func(net.Conn)) {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.done)
		conns := l.conns
		l.mu.Unlock()
		for _, conn := range conns {
			if conn != nil {
				closeConn(conn)
			}
		}
		l.proxy.remove(l)
	})
}
