package faultnet

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	waitFor, tick = time.Minute, 5 * time.Millisecond
	// If nothing happens for the time quiet, a test concludes that nothing will.
	quiet = 50 * time.Millisecond
)

// target is a server whose connections the test holds.
type target struct {
	addr  string
	conns chan net.Conn
}

// newTarget starts a server on loopback TCP.
func newTarget(t *testing.T, addr string) *target {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	s := &target{addr: lis.Addr().String(), conns: make(chan net.Conn, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			s.conns <- conn
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		wg.Wait()
		close(s.conns)
		for conn := range s.conns {
			_ = conn.Close()
		}
	})
	return s
}

// pair connects to the server s through the proxy p, and returns both ends of the connection.
func pair(t *testing.T, p *Proxy, s *target) (client, server net.Conn) {
	t.Helper()
	client = dial(t, p)
	select {
	case server = <-s.conns:
	case <-time.After(waitFor):
		require.Fail(t, "the target was not dialled")
	}
	t.Cleanup(func() { _ = server.Close() })
	deadline := time.Now().Add(30 * time.Second)
	require.NoError(t, client.SetDeadline(deadline))
	require.NoError(t, server.SetDeadline(deadline))
	return client, server
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), waitFor)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func start(t *testing.T) (*Proxy, *target) {
	t.Helper()
	s := newTarget(t, "127.0.0.1:0")
	return New(t, s.addr), s
}

// send writes msg and expects the other end to receive it.
func send(t *testing.T, from, to net.Conn, msg string) {
	t.Helper()
	write(t, from, msg)
	expect(t, to, msg)
}

func write(t *testing.T, conn net.Conn, msg string) {
	t.Helper()
	_, err := io.WriteString(conn, msg)
	require.NoError(t, err)
}

func expect(t *testing.T, conn net.Conn, msg string) {
	t.Helper()
	buf := make([]byte, len(msg))
	_, err := io.ReadFull(conn, buf)
	require.NoError(t, err)
	require.Equal(t, msg, string(buf))
}

// expectRefused expects a new connection to be reset, be it while it is made or right after.
func expectRefused(t *testing.T, p *Proxy) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), waitFor)
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// expectQuiet expects nothing to arrive for a while, not even an end.
func expectQuiet(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(quiet)))
	n, err := conn.Read(make([]byte, 1))
	require.Zero(t, n)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout(), "%v", err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
}
