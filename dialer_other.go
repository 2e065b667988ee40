//go:build !linux

package clientv3

import "syscall"

// limitUnacknowledged does nothing: the system decides when to drop a TCP connection whose peer
// acknowledges nothing.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
