package concurrency

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Ctx returns a context that ends as soon as the lock may be lost: with Unlock, with
// the session, and when the key was deleted by someone else. It is a child of the
// session's, and has ended already where the lock is not held. context.Cause
// tells why.
//
// The first call for an acquisition begins to watch the key, which costs a request.
func (m *Mutex) Ctx() context.Context {
	if m.mutexState == nil || m.s == nil {
		return never
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.held
	if held == nil {
		held = &hold{released: true}
	}
	if held.ctx == nil {
		held.ctx, held.end = context.WithCancelCause(m.s.ctx)
		if held.released || !m.s.goBackground(func() { m.guard(held) }) {
			held.lost(ErrLockReleased)
		}
	}
	return held.ctx
}

// lost ends the context of an acquisition, if there is any.
func (h *hold) lost(cause error) {
	if h != nil && h.end != nil {
		h.end(cause)
	}
}

// guard ends the context of an acquisition once its key is gone. It returns when
// the context has ended.
func (m *Mutex) guard(h *hold) {
	ctx := clientv3.WithRequireLeader(h.ctx)
	for n, since := 0, h.since; ; n++ {
		if m.awaitLoss(ctx, since) {
			break
		}
		if backoff.Wait(ctx, repeatBackoff.Delay(n)) != nil {
			return
		}
		resp, err := m.s.client.Get(ctx, m.key)
		switch {
		case err == nil && (len(resp.Kvs) == 0 || resp.Kvs[0].GetCreateRevision() != h.rev):
			h.end(fmt.Errorf("%w: the key %s is gone", ErrLockReleased, m.key))
			return
		case err == nil:
			since = resp.Header.GetRevision()
		case classify.IsHalt(ctx, err):
			h.end(err)
			return
		}
	}
	h.end(fmt.Errorf("%w: the key %s was deleted", ErrLockReleased, m.key))
}

// awaitLoss reports whether the key was deleted after a revision; false says that
// the watch has ended before.
func (m *Mutex) awaitLoss(ctx context.Context, since int64) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for resp := range m.s.client.Watch(ctx, m.key, clientv3.WithRev(since+1),
		clientv3.WithFilterPut()) {
		if hasDelete(resp) {
			return true
		}
	}
	return false
}
