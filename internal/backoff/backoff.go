// Package backoff computes and performs waits that grow from attempt to attempt and have jitter.
//
// A [Policy] is a value without state: callers count their own attempts, so one policy serves any
// number of loops at once.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy describes waits that double from Base until they reach Max.
//
// Jitter is the share of a wait that is random, from 0 to 1. A wait d becomes a random wait from
// [d−Jitter·d, d], evenly distributed. With 1, the wait is anything between zero and d ("full
// jitter"). A Jitter below 0 counts as 0, and one above 1 as 1.
type Policy struct {
	Base   time.Duration
	Max    time.Duration
	Jitter float64
}

// Delay returns how long to wait after the attempt with the given number, counted from 0. It never
// exceeds the larger of Base and Max, and is 0 if Base is not positive.
func (p Policy) Delay(attempt int) time.Duration {
	d := p.Base
	for ; attempt > 0 && d < p.Max; attempt-- {
		d *= 2
	}
	if d = min(d, max(p.Max, p.Base)); d <= 0 {
		return 0
	}
	return d - time.Duration(rand.Float64()*min(max(p.Jitter, 0), 1)*float64(d))
}

// Wait returns nil once d has passed, or the error of ctx as soon as ctx ends. If d is not
// positive, Wait does not block; it still returns the error of a ctx that has ended.
func Wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
