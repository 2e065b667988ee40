package concurrency

import (
	"context"
	"errors"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// waitForTurn waits until the contender is the first. What it returns was seen in one transaction:
// the contender's own key existed, and no key was before it. Events only say when to look.
func (c contender) waitForTurn(ctx context.Context, p position) (position, error) {
	if p.ahead == "" {
		return p, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &waiter{c: c, ctx: clientv3.WithRequireLeader(ctx), at: p}
	first := w.changed
	if p.found != nil {
		first = nil // there may be keys between the first one and the contender's
	}
	err := await.Loop(ctx, first, w.look, func(err error) bool {
		return errors.Is(err, ErrSessionExpired) || classify.IsHalt(ctx, err)
	})
	return w.at, err
}

// waiter watches two keys for a contender: the one right before its own, whose deletion it waits
// for, and its own. That one's deletion shows the end of the session's lease as soon as the server
// knows of it, before a renewal could.
type waiter struct {
	c       contender
	ctx     context.Context // of the watch of the contender's own key
	own     clientv3.WatchChan
	ownGone bool
	at      position
}

func (w *waiter) look(ctx context.Context) (await.Change, error) {
	if w.ownGone {
		return nil, ErrSessionExpired
	}
	p, err := w.c.look(ctx, w.at)
	if err != nil {
		return nil, err
	}
	if w.at = p; p.ahead == "" {
		return nil, nil
	}
	return w.changed, nil
}

// changed waits for the deletion of either key.
func (w *waiter) changed(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	since := []clientv3.OpOption{clientv3.WithRev(w.at.hdr.GetRevision() + 1),
		clientv3.WithFilterPut()}
	if w.own == nil {
		w.own = w.c.s.client.Watch(w.ctx, w.c.key, since...)
	}
	ahead := w.c.s.client.Watch(ctx, w.at.ahead, since...)
	for {
		select {
		case resp, open := <-w.own:
			if hasDelete(resp) {
				w.ownGone = true
				return true
			}
			if !open || resp.Err() != nil {
				w.own = nil
				return false
			}
		case resp, open := <-ahead:
			if hasDelete(resp) {
				return true
			}
			if !open || resp.Err() != nil {
				return false
			}
		}
	}
}

// deleted waits for the deletion of a key after a revision. It reports false if the watch ends.
func (s *session) deleted(ctx context.Context, key string, rev int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range s.client.Watch(ctx, key, clientv3.WithRev(rev+1), clientv3.WithFilterPut()) {
		if hasDelete(resp) {
			return true
		}
	}
	return false
}

func hasDelete(resp clientv3.WatchResponse) bool {
	return slices.ContainsFunc(resp.Events, func(ev *clientv3.Event) bool {
		return ev.Type == clientv3.EventTypeDelete
	})
}
