package testclient

import (
	"context"
	"testing"
	"time"
)

// Stopwatch starts to measure time. The function that it returns stops it, and returns how much
// time has passed without the time in which this process waited for a processor. So a bound on the
// result holds on a busy machine, too, if what is measured is timers and not work.
//
// It is no measure for the least time that something takes. How long the process waits shows in how
// late timers fire. Up to a millisecond is the precision of a timer and is not subtracted.
func Stopwatch(tb testing.TB) (elapsed func() time.Duration) {
	const tick, precision = 10 * time.Millisecond, time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	tb.Cleanup(stop)
	start, waited := time.Now(), make(chan time.Duration, 1)
	// Stopped by elapsed, which waits for it, or by the end of the test.
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
