package clientv3

import (
	"syscall"
	"time"
)

// tcpUserTimeout is the socket option TCP_USER_TIMEOUT, which package syscall lacks on some
// architectures.
const tcpUserTimeout = 0x12

// limitUnacknowledged makes the kernel close a TCP connection whose peer does not acknowledge the
// data that was sent. TCP keepalives do not notice such a peer, because they are sent on idle
// connections only. If the kernel does not know the option TCP_USER_TIMEOUT, or the socket is not a
// TCP socket, limitUnacknowledged changes nothing.
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	limit := tcpIdle + tcpInterval
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout,
			int(limit/time.Millisecond))
	})
}
