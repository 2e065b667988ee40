package memberhealth

import "time"

// processStart is where the package's clock begins.
var processStart = time.Now()

// clock converts a time of this process to a number that an atomic can hold. It is
// monotonic: setting the wall clock back must not keep a member from requests.
func clock(t time.Time) int64 { return int64(t.Sub(processStart)) }
