package concurrency

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// waiter follows two keys for a contender: the one right before its own, and its
// own, so that the end of its session is seen as soon as the server knows of it.
type waiter struct {
	c   contender
	ctx context.Context
	own clientv3.WatchChan // nil until needed, and after it has ended
}

// turn waits until the contender is the first. What it returns was seen in one
// transaction: no key is before the contender's own, and that is there.
//
// Events only tell when to look; a look decides. So turn goes on through anything
// that may pass, such as a compaction or a member without a leader, until ctx ends.
func (c contender) turn(ctx context.Context, p place) (place, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := waiter{c: c, ctx: clientv3.WithRequireLeader(ctx)}
	setbacks := 0
	for p.ahead != "" {
		progress := false
		if p.found == nil { // otherwise there may be keys between that ahead and its own
			switch w.await(p) {
			case ownGone:
				return place{}, ErrSessionExpired
			case aheadGone:
				progress = true
			case watchEnded:
				setbacks++
			}
		}
		if setbacks > 0 {
			if err := backoff.Wait(ctx, repeatBackoff.Delay(setbacks-1)); err != nil {
				return place{}, err
			}
		}
		next, err := c.look(ctx, p.rev)
		switch {
		case err == nil && progress:
			p, setbacks = next, 0
		case err == nil:
			p = next
		case errors.Is(err, ErrSessionExpired) || classify.IsHalt(ctx, err):
			return place{}, err
		default:
			setbacks++
		}
	}
	return p, nil
}

// outcome is what a waiter was told by its watches.
type outcome uint8

const (
	aheadGone  outcome = iota // the key ahead was deleted
	ownGone                   // the contender's own key was
	watchEnded                // a watch is over, or the context
)

// await waits for the deletion of either key since p.
func (w *waiter) await(p place) outcome {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	since := []clientv3.OpOption{clientv3.WithRev(p.hdr.GetRevision() + 1),
		clientv3.WithFilterPut()}
	if w.own == nil {
		w.own = w.c.s.client.Watch(w.ctx, w.c.key, since...)
	}
	ahead := w.c.s.client.Watch(ctx, p.ahead, since...)
	for {
		select {
		case resp, open := <-w.own:
			if hasDelete(resp) {
				return ownGone
			}
			if !open || resp.Err() != nil {
				w.own = nil
				return watchEnded
			}
		case resp, open := <-ahead:
			if hasDelete(resp) {
				return aheadGone
			}
			if !open || resp.Err() != nil {
				return watchEnded
			}
		case <-ctx.Done():
			return watchEnded
		}
	}
}

func hasDelete(resp clientv3.WatchResponse) bool {
	for _, ev := range resp.Events {
		if ev.Type == clientv3.EventTypeDelete {
			return true
		}
	}
	return false
}
