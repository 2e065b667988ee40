// Package await waits until the store is in some state. [Loop] reads the store, waits until the
// keys that it has read may have changed, and reads again. [Join] makes a context that ends when
// either of two contexts ends.
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
// have changed since the caller's last read. It returns false if it can no longer notice a change,
// for example because its watch or ctx has ended.
type Change func(ctx context.Context) bool

// Loop waits until the store is in the state that its caller wants. It reads the store with the
// function look. If the store is in that state, look returns neither a Change nor an error, and
// Loop returns nil. Otherwise look returns a [Change], which waits until the store may have
// changed. Loop calls the Change, and then calls look again.
//
// Many failures are temporary, such as a compaction or a member without a leader. So if look fails,
// or if the Change returns false, Loop waits and calls look again. These waits follow [Retry]. They
// grow from one failure to the next, and start small again after a Change has returned true.
//
// Loop returns an error in two cases:
//
//   - ctx ends during one of these waits: Loop returns the error of ctx.
//   - final is not nil and returns true for an error of look: Loop returns this error.
//
// If first is not nil, Loop begins with a wait for a change: it calls first before look.
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
