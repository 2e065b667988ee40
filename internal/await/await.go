// Package await provides the loop of calls that wait until the store is in some state. The loop
// reads the store, waits until the keys that it has read may have changed, and reads again. [Join]
// makes a context that ends when either of two contexts ends.
package await

import (
	"context"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Retry is how long [Loop] waits after a failed read or a lost watch before it reads again. Other
// loops that repeat a request until it succeeds use it, too.
var Retry = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// Join returns a copy of ctx that also ends when the context other ends. The caller must call
// release when it no longer needs the copy.
func Join(ctx, other context.Context) (joined context.Context, release context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	detach := context.AfterFunc(other, cancel)
	return ctx, func() { detach(); cancel() }
}

// Change is a function that waits for a change of the store. It returns true when the store may
// have changed since the caller last read from the store. It returns false if it can no longer
// notice a change, for example because its watch or ctx has ended.
type Change func(ctx context.Context) bool

// Loop waits until the store is in the state that its caller wants. The parameter look is a
// function that reads the store. If the store is in that state, look returns nil for both the
// Change and the error, and Loop returns nil. Otherwise look returns a [Change], which waits until
// the store may have changed. Loop calls the Change, and then calls look again.
//
// If look fails, or if the Change returns false, Loop waits and calls look again, because many
// failures are temporary, such as a compaction or a member without a leader. These waits follow
// [Retry]: they grow from one failure to the next, and start small again after a Change has
// returned true. If ctx ends during one of these waits, Loop returns the error of ctx. If the
// parameter final is not nil and returns true for an error of look, Loop returns that error and
// does not call look again.
//
// If the parameter first is not nil, Loop calls it before the first call of look, and so begins
// with a wait for a change.
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
		case err != nil && final != nil && final(err):
			return err
		}
		if err := backoff.Wait(ctx, Retry.Delay(failures)); err != nil {
			return err
		}
		failures++
	}
}
