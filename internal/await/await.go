// Package await has the loop of calls that wait for a state of the store: look at it, wait for a
// change of what was seen, and look again.
package await

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Retry spaces looks that follow no change, and other requests that are repeated until they
// succeed.
var Retry = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// Change waits until what was seen may have changed, and reports true then. It reports false as
// soon as it can no longer tell, as when its watch ends. It returns when ctx ends.
type Change func(ctx context.Context) bool

// Loop calls look until it returns no Change to wait for, or an error that is final. A look
// decides; a Change only tells when to look again. Where a look fails or a Change cannot tell, Loop
// looks again after a wait, which grows with each of these in a row. So Loop goes on through
// anything that may pass, such as a compaction or a member without a leader.
//
// A first Change is waited for before the first look; it may be nil. The errors of Loop are those
// that are final, and ctx's error.
func Loop(
	ctx context.Context, first Change, look func(context.Context) (Change, error),
	final func(error) bool,
) error {
	next, err := first, error(nil)
	if first == nil {
		next, err = look(ctx)
	}
	for failures := 0; ; next, err = look(ctx) {
		switch {
		case err == nil && next == nil:
			return nil
		case err == nil && next(ctx):
			failures = 0
			continue
		case err != nil && final(err):
			return err
		}
		if err := backoff.Wait(ctx, Retry.Delay(failures)); err != nil {
			return err
		}
		failures++
	}
}
