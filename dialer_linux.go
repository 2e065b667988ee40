package clientv3

import (
	"strings"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT, which package syscall lacks on some
// architectures.
const tcpUserTimeout = 0x12

// limitUnacknowledged has the kernel drop a TCP connection whose peer acknowledges
// nothing of what was sent: TCP keepalives only watch idle ones. An old kernel
// without it is no error.
func limitUnacknowledged(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	limit := tcpIdle + tcpInterval
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout,
			int(limit/time.Millisecond))
	})
}
