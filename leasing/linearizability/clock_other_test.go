//go:build unix && !linux

package linearizability

import "time"

// now reads the wall clock, because this system has no other clock that processes share.
func now() int64 { return time.Now().UnixNano() }
