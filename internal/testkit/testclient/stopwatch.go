package testclient

import (
	"context"
	"testing"
	"time"
)

// Stopwatch starts to measure time. The returned function ends the measurement and returns the
// time. It leaves out the time in which this process waited for a processor. So a test can check
// that the time is below a limit, even on a busy machine. The measured code must wait for timers,
// and not compute.
//
// Do not use the result as a lower bound. How long the process waited is estimated by how late
// timers fire. A delay of up to a millisecond is normal, and is not subtracted.
func Stopwatch(tb testing.TB) (elapsed func() time.Duration) {
	const tick, precision = 10 * time.Millisecond, time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	tb.Cleanup(stop)
	start, waited := time.Now(), make(chan time.Duration, 1)
	// The goroutine ends when elapsed is called, or at the end of the test. elapsed waits for the
	// goroutine.
	go func() {
		for sum := time.Duration(0); ; {
			begin := time.Now()
			select {
			case <-ctx.Done():
			case <-time.After(tick):
			}
			if late := time.Since(begin) - tick; late > precision {
				sum += late
			}
			if ctx.Err() != nil {
				waited <- sum
				return
			}
		}
	}()
	return func() time.Duration {
		took := time.Since(start)
		stop()
		return took - <-waited
	}
}
