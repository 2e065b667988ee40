package clientv3

import (
	"syscall"
	"time"
)

// tcpUserTimeout is the socket option TCP_USER_TIMEOUT, which package syscall lacks on some
// architectures.
const tcpUserTimeout = 0x12

// limitUnacknowledged makes the kernel close a TCP connection whose peer does not acknowledge sent
// data. TCP keepalives do not notice such a peer: they are sent only on idle connections.
// limitUnacknowledged changes nothing for other sockets, or if the kernel does not know
// TCP_USER_TIMEOUT.
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	limit := tcpIdle + tcpInterval
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout,
			int(limit/time.Millisecond))
	})
}
