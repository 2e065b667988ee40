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

// link is one connection through the proxy. Each direction has a reader, a queue and a writer.
type link struct {
	// read-only after newLink
	proxy *Proxy
	ctx   context.Context // ends with the link
	stop  context.CancelFunc

	// safe for concurrent use without mu
	once sync.Once
	lost atomic.Bool  // whether the proxy has dropped bytes of this link
	ends atomic.Int32 // how many directions have ended with an io.EOF

	// guarded by mu
	mu sync.Mutex
	// conns has, for each direction, the connection to which the bytes of that direction are
	// written. conns[ToServer] is nil until the server is dialled.
	conns [Both]net.Conn
}

// chunk is the bytes that one Read returned.
type chunk struct {
	data []byte
	err  error // the error of the Read, or nil; a chunk with an error is the last chunk
	at   time.Time
}

func newLink(p *Proxy, client net.Conn) *link {
	l := &link{proxy: p}
	l.ctx, l.stop = context.WithCancel(p.ctx)
	l.conns[ToClient] = client
	return l
}

// run connects to the proxy's target, and forwards bytes in both directions until the link is
// closed.
func (l *link) run() {
	defer l.close()
	if !l.connect() {
		l.reset()
		return
	}
	var pumps sync.WaitGroup
	for _, dir := range []Direction{ToServer, ToClient} {
		queue := make(chan chunk, queued)
		// Both goroutines end when the link is closed, at the latest by Proxy.Close. run waits for
		// them, and Proxy.Close waits for run.
		pumps.Go(func() { l.read(dir, queue) })
		pumps.Go(func() { l.write(dir, queue) })
	}
	pumps.Wait()
}

// connect waits until no fault blocks the direction to the server, and then dials the server. It
// returns false if the dial fails or the link is closed.
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

// conn returns the connection to which the bytes of a direction are written.
func (l *link) conn(dir Direction) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns[dir]
}

// read reads bytes that go in a direction and puts them into the queue. It does not read while a
// fault blocks the direction.
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

// write takes chunks from the queue and delivers each when its delay has passed and no fault blocks
// the direction.
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

// deliver writes data to the receiver, at the speed that Throttle has set, and up to the byte at
// which CutAfter closes the connection. It returns false if the direction has ended.
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

// put writes data to the connection that receives the bytes of the direction dir. If the write
// fails, put waits until no fault blocks the other direction, and then resets both connections of
// the link.
func (l *link) put(dir Direction, data []byte) bool {
	n, err := l.conn(dir).Write(data)
	l.proxy.bytes[dir].Add(int64(n))
	if err != nil && l.pass(dir.other()) {
		l.reset()
	}
	return err == nil
}

// pass waits until no fault blocks the direction. It returns false if the link is closed.
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

// due waits until the delay of Proxy.Delay is over for a chunk of bytes. The chunk was read at the
// time at, when its delay began. due returns false if the link is closed.
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

// sleep waits for d, or until the proxy's faults change. It returns false if the link is closed.
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

// close ends the link. Bytes that were written before close still reach their receiver.
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

// abort closes a connection with a TCP reset.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}
