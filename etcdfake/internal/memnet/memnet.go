// Package memnet is a network inside of the process. Its connections need no port and no file.
//
// A goroutine that waits on a connection is blocked on a channel. If the connection was made in a
// bubble of testing/synctest, the goroutine is durably blocked, so virtual time can pass.
//
// A write never waits, because the connection buffers all bytes that are not read yet. The buffer
// stays small, because HTTP/2 flow control limits how much gRPC writes.
package memnet

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Addr is the name of a listener.
type Addr string

// Network returns "memory".
func (Addr) Network() string { return "memory" }

func (a Addr) String() string { return string(a) }

// Listener accepts the connections that Dial makes.
type Listener struct {
	addr   Addr
	accept chan net.Conn // never closed
	once   sync.Once
	closed chan struct{}
}

// Listen makes a listener with the name addr.
func Listen(addr Addr) *Listener {
	return &Listener{addr: addr, accept: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for the next connection. It returns net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accept:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects to the listener. It waits until the connection has been accepted, and returns an
// error if the listener is closed or ctx ends.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := Pipe(l.addr)
	select {
	case l.accept <- server:
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: l.addr.Network(), Addr: l.addr,
			Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close makes waiting and later calls of Accept and Dial fail. Accepted connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns the listener's name.
func (l *Listener) Addr() net.Addr { return l.addr }

// Pipe returns the client's end and the server's end of a new connection. Both ends report addr as
// their address.
func Pipe(addr Addr) (client, server net.Conn) {
	up, down := newStream(), newStream()
	return &conn{addr: addr, in: down, out: up}, &conn{addr: addr, in: up, out: down}
}

// conn is one end of a connection.
type conn struct {
	addr    Addr
	in, out *stream
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close closes both directions of the connection. The other end can still read the bytes that were
// written before.
func (c *conn) Close() error {
	c.in.shut(true)
	c.out.shut(false)
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.addr }
func (c *conn) RemoteAddr() net.Addr { return c.addr }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline does nothing, because a write does not wait.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// stream is one direction of a connection. It has one reader.
type stream struct {
	// ready wakes the reader. The method wake sends on it after new bytes, after the end of the
	// stream, and when a deadline was set or has passed.
	ready chan struct{}

	// guarded by mu
	mu       sync.Mutex
	buf      []byte
	ended    error       // the error of a read after the last byte; nil while both ends are open
	left     bool        // true when the reader has closed its end
	deadline time.Time   // the deadline of reads; zero: no deadline
	timer    *time.Timer // wakes the reader at the deadline
}

func newStream() *stream { return &stream{ready: make(chan struct{}, 1)} }

func (s *stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *stream) read(p []byte) (int, error) {
	for {
		n, err, done := s.take(p)
		if done {
			return n, err
		}
		<-s.ready
	}
}

// take is one attempt of the method read. It copies bytes that have arrived into p. done is false
// if no bytes have arrived and read has to wait for some.
func (s *stream) take(p []byte) (n int, err error, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.left:
		return 0, io.ErrClosedPipe, true
	case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
		return 0, os.ErrDeadlineExceeded, true
	case len(s.buf) > 0:
		n = copy(p, s.buf)
		s.buf = s.buf[n:]
		return n, nil, true
	case s.ended != nil:
		return 0, s.ended, true
	}
	return 0, nil, len(p) == 0
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return 0, io.ErrClosedPipe
	}
	s.buf = append(s.buf, p...)
	s.wake()
	return len(p), nil
}

// shut ends the stream, because one end of the connection was closed. The parameter reader is true
// if that end reads from the stream, and false if it writes to the stream.
func (s *stream) shut(reader bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = io.EOF
	s.left = s.left || reader
	if s.timer != nil {
		s.timer.Stop()
	}
	s.wake()
}

func (s *stream) setDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.deadline = t
	if !t.IsZero() && s.ended == nil {
		s.timer = time.AfterFunc(time.Until(t), s.wake)
	}
	s.wake()
}
