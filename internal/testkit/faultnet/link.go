package faultnet

import (
	"bytes"
	"context"
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
	ctx   context.Context // ends with the link
	stop  context.CancelFunc

	// own synchronisation
	once sync.Once
	lost atomic.Bool  // bytes were dropped
	ends atomic.Int32 // directions that ended by themselves

	// guarded by mu
	mu sync.Mutex
	// where each direction is written to; the server's is nil until it is dialled
	conns [Both]net.Conn
}

// chunk is what a reader got at once.
type chunk struct {
	data []byte
	err  error // ends the direction after data
	at   time.Time
}

func newLink(p *Proxy, client net.Conn) *link {
	l := &link{proxy: p}
	l.ctx, l.stop = context.WithCancel(p.ctx)
	l.conns[ToClient] = client
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
	for _, dir := range []Direction{ToServer, ToClient} {
		queue := make(chan chunk, queued)
		// These end when the link is closed, at the latest by Proxy.Close; run waits for them, and
		// Proxy.Close for run.
		pumps.Go(func() { l.read(dir, queue) })
		pumps.Go(func() { l.write(dir, queue) })
	}
	pumps.Wait()
}

// connect dials the target once packets may reach it.
func (l *link) connect() bool {
	if !l.pass(ToServer) {
		return false
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(l.ctx, "tcp", l.proxy.target)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		abort(server)
		return false
	}
	l.conns[ToServer] = server
	return true
}

// conn returns the connection that a direction is written to.
func (l *link) conn(dir Direction) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[dir]
}

// read moves what arrives into the queue. It stops reading while the direction is blocked.
func (l *link) read(dir Direction, queue chan<- chunk) {
	from := l.conn(dir.other())
	buf := make([]byte, readSize)
	for l.pass(dir) {
		n, err := from.Read(buf)
		select {
		case queue <- chunk{bytes.Clone(buf[:n]), err, time.Now()}:
		case <-l.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// write delivers chunks when their time has come and the direction is not blocked.
func (l *link) write(dir Direction, queue <-chan chunk) {
	for {
		var c chunk
		select {
		case c = <-queue:
		case <-l.ctx.Done():
			return
		}
		if !l.due(c.at) || !l.pass(dir) || !l.deliver(dir, c.data) {
			return
		}
		switch {
		case c.err == nil:
			continue
		case !errors.Is(c.err, io.EOF):
			l.reset()
		case l.ends.Add(1) == 2:
			l.close()
		default:
			_ = l.conn(dir).(*net.TCPConn).CloseWrite()
		}
		return
	}
}

// deliver writes data, at the speed of the throttle and up to a cut. It returns false if that ends
// the direction.
func (l *link) deliver(dir Direction, data []byte) bool {
	for len(data) > 0 {
		if !l.pass(dir) {
			return false
		}
		r, changed := l.proxy.current()
		if r.drop&dir != 0 {
			l.lost.Store(true)
			return true
		}
		n := len(data)
		if r.rate > 0 {
			n = min(n, max(1, int(int64(r.rate)*int64(throttleStep)/int64(time.Second))))
		}
		n, cut := l.proxy.take(dir, n)
		if !l.put(dir, data[:n]) {
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

// put writes to the receiver. If that is gone the sender gets a reset, unless the other direction
// is blocked.
func (l *link) put(dir Direction, data []byte) bool {
	n, err := l.conn(dir).Write(data)
	l.proxy.bytes[dir].Add(int64(n))
	if err != nil && l.pass(dir.other()) {
		l.reset()
	}
	return err == nil
}

// pass waits until the direction is not blocked. It returns false if the link is closed.
func (l *link) pass(dir Direction) bool {
	for {
		r, changed := l.proxy.current()
		if !r.paused && r.blackhole&dir == 0 {
			return l.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return false
		}
	}
}

// due waits until a chunk that arrived at a time has been delayed enough. It returns false if the
// link is closed.
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

// sleep waits for d, or until the rules change. It returns false if the link is closed.
func (l *link) sleep(d time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-l.ctx.Done():
		return false
	}
	return true
}

// close ends the link. Bytes that were written before still reach their receiver.
func (l *link) close() { l.end(func(conn net.Conn) { _ = conn.Close() }) }

// reset ends the link with a TCP reset to both sides.
func (l *link) reset() { l.end(abort) }

func (l *link) end(closeConn func(net.Conn)) {
	l.once.Do(func() {
		l.mu.Lock()
		l.stop()
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

// abort closes a connection with a reset.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
