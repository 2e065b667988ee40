package balancer

import "time"

// processStart is where the package's clock begins.
var processStart = time.Now()

// clock turns a time of this process into a number that an atomic can hold. It is
// monotonic: a wall clock that is set back must not keep a member from requests.
func clock(t time.Time) int64 { return int64(t.Sub(processStart)) }
