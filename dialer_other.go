//go:build !linux

package clientv3

import "syscall"

// limitUnacknowledged does nothing: the operating system decides when to close a TCP connection
// whose peer does not acknowledge data.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
