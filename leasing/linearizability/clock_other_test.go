//go:build unix && !linux

package linearizability

import "time"

// now reads the wall clock, for want of another one that processes share.
func now() int64 { return time.Now().UnixNano() }
