package concurrency

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Ctx returns a context that ends as soon as the lock may be lost: with Unlock, with
// the session, and when another client has deleted the key. It is a child of the
// session's context, and has ended already if the lock is not held. context.Cause
// returns the reason.
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
		held = &acquisition{released: true}
	}
	if held.ctx == nil {
		held.ctx, held.end = context.WithCancelCause(m.s.ctx)
		if held.released || !m.s.goBackground(func() { m.guard(held) }) {
			held.lost(ErrLockReleased)
		}
	}
	return held.ctx
}

// lost ends the context of an acquisition, if it has one.
func (a *acquisition) lost(cause error) {
	if a != nil && a.end != nil {
		a.end(cause)
	}
}

// guard ends the context of an acquisition once its key is gone. It returns when the context has
// ended.
func (m *Mutex) guard(a *acquisition) {
	since, deleted := a.since, false
	changed := func(ctx context.Context) bool {
		deleted = m.s.deleted(ctx, m.key, since)
		return deleted
	}
	err := await.Loop(a.ctx, changed, func(ctx context.Context) (await.Change, error) {
		if deleted {
			return nil, nil
		}
		resp, err := m.s.client.Get(ctx, m.key)
		if err != nil {
			return nil, err
		}
		if len(resp.Kvs) == 0 || resp.Kvs[0].GetCreateRevision() != a.key.Create {
			return nil, nil
		}
		since = resp.Header.GetRevision()
		return changed, nil
	}, func(err error) bool { return classify.IsHalt(a.ctx, err) })
	if err == nil {
		err = fmt.Errorf("%w: the key %s was deleted", ErrLockReleased, m.key)
	}
	a.end(err)
}
