package clientv3

import (
	"strings"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT. Package syscall lacks it on some architectures.
const tcpUserTimeout = 0x12

// limitUnacknowledged makes the kernel drop a TCP connection whose peer acknowledges nothing of
// what was sent, because TCP keepalives are sent on idle connections only. A kernel without the
// option is no error.
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
