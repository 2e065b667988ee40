package concurrency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// Mutex is a lock that at most one session holds at a time. Sessions get it in the order in which
// they asked for it.
//
// A Mutex is a lock between sessions, not between goroutines: all mutexes that one session makes
// with the same prefix share one key. While one of them is locked, Lock of any of them succeeds at
// once, and the first Unlock releases the lock for all of them. Goroutines that must exclude each
// other need a session each, or a sync.Mutex in addition.
//
// # What a holder can rely on
//
// A lease can expire while its holder is suspended or cut off, and then another session gets the
// lock. There are three ways to protect against that, from the safest to the least safe:
//
//   - Write to this cluster in transactions with the condition [Mutex.IsOwner]. The server does not
//     apply them once the lock is lost.
//   - Send the fencing token [Mutex.Rev] with writes to other systems. Each later holder has a
//     greater token. So the other system can refuse every write whose token is lower than the
//     highest that it has seen.
//   - Stop all other work when the context [Mutex.Ctx] ends. That context ends as soon as the
//     client knows that the lock may be lost.
//
// The methods are safe for concurrent use. A copy of a Mutex shares the state of the original.
type Mutex struct {
	contender   // read-only after NewMutex
	*mutexState // nil in the zero Mutex, which cannot be locked
}

// mutexState is the state that all copies of a Mutex share.
type mutexState struct {
	hdr atomic.Pointer[pb.ResponseHeader]

	// guarded by mu
	mu   sync.Mutex
	held *acquisition // nil while the lock is not held
}

// acquisition records that the session has acquired the lock.
type acquisition struct {
	key      *keystate.Incarnation // record of the key by which the session holds the lock
	since    int64                 // a revision at which the session held the lock
	released bool                  // Unlock has been called for this acquisition

	// ctx is the context that Mutex.Ctx returns. The function end cancels it. Both are nil until
	// Mutex.Ctx is called.
	ctx context.Context
	end context.CancelCauseFunc
}

// NewMutex returns a mutex for the keys that begin with pfx and a slash. It sends no request. The
// name of the session's key is pfx, a slash, and the ID of the session's lease in hexadecimal.
func NewMutex(s *Session, pfx string) *Mutex {
	c := newContender(s, pfx)
	if c.s != nil {
		c.mark = c.s.nonce
	}
	return &Mutex{contender: c, mutexState: &mutexState{}}
}

// Lock acquires the lock. It blocks until the session has the lock, or until ctx, the session or
// the client ends. If the session expires, or another client deletes the session's key, Lock
// returns within one round trip after the server has reported that.
//
// Errors:
//
//   - the error of ctx
//   - [ErrSessionExpired]
//   - rpctypes.ErrLeaseNotFound if the lease is gone; the session then ends
//   - any other error of the requests that put the session's key
//   - while Lock waits in the queue: an error of [clientv3.KV] that a later attempt cannot clear,
//     such as rpctypes.ErrPermissionDenied. Unavailable members do not end the wait.
//
// After an error the session's key is deleted. The key stays if another call of the session uses
// it, or if another session on the same lease has created or uses it. If the cluster cannot be
// reached, the session repeats the deletion in the background, for at most one TTL after the end of
// the session. It also deletes the key if a member applies the put later: the value of the key
// proves that this session has created it.
//
// All goroutines of a session share its key. So if another goroutine calls Unlock while Lock waits,
// the key is deleted, and Lock puts a new key at the end of the queue.
//
// An uncontended Lock costs one request. When the lock becomes free, a Lock that waits acquires it
// after one watch event and one request.
func (m *Mutex) Lock(ctx context.Context) error {
	return m.acquire(ctx, func(ctx context.Context) (position, error) {
		for {
			p, err := m.enter(ctx, m.mark+isMade)
			if err != nil {
				return position{}, err
			}
			first, err := m.waitForTurn(ctx, p)
			if err == nil {
				return first, nil
			}
			if errors.Is(err, ErrSessionExpired) && m.wasReleased(p) {
				continue
			}
			m.abandon(p)
			return position{}, err
		}
	})
}

// wasReleased reports whether the session lives, and another goroutine of the session has deleted
// the key that p describes, by Unlock. The caller, which was waiting with this key, must then wait
// with a new key.
func (m *Mutex) wasReleased(p position) (released bool) {
	m.s.update(m.key, func(*keystate.State) { released = p.incarnation.Ended() })
	return released && m.s.over() == nil
}

// TryLock takes the lock if no other session has it or waits for it. It does not wait for the lock.
// It sends one transaction, which puts no key if the lock is taken.
//
// Errors: [ErrLocked] if another session has the lock or waits for it, and the errors of
// [Mutex.Lock].
func (m *Mutex) TryLock(ctx context.Context) error {
	return m.acquire(ctx, func(ctx context.Context) (position, error) {
		p, err := m.tryEnter(ctx, m.mark+isMade)
		switch {
		case errors.Is(err, errOccupied):
			return position{}, ErrLocked
		case err == nil && p.ahead != "":
			// The session's key existed before, and is not the first of the queue. So another call
			// waits with this key: a call of this session, or of a session on the same lease.
			m.abandon(p)
			return position{}, ErrLocked
		}
		return p, err
	})
}

// acquire is the common part of Lock and TryLock. The parameter enter gets the lock and returns the
// place of the session's key in the queue. acquire then records that the session has the lock.
func (m *Mutex) acquire(
	ctx context.Context, enter func(context.Context) (position, error),
) error {
	if err := cmp.Or(ctx.Err(), m.s.over()); err != nil {
		return err
	}
	inner, cancel := m.s.within(ctx)
	defer cancel()
	p, err := enter(inner)
	if err != nil {
		return m.s.failure(ctx, inner, err)
	}
	m.acquired(p)
	return nil
}

// acquired records that the session holds the lock with the key that p describes. The record takes
// over the caller's use of the key, so that clean-up does not delete the key. A record of this key
// or of a newer key stays; acquired then ends the caller's use of the key.
func (m *Mutex) acquired(p position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	isOlder := m.held != nil && m.held.key.Create > p.rev()
	if !isOlder {
		m.hdr.Store(p.hdr)
	}
	if isOlder || m.held != nil && m.held.key == p.incarnation {
		m.s.update(m.key, func(k *keystate.State) { k.Release(p.incarnation) })
		return
	}
	m.held.lost(ErrLockReleased)
	m.held = &acquisition{key: p.incarnation, since: p.hdr.GetRevision()}
}

// Unlock releases the lock. It deletes only the key by which the lock was acquired, not a later key
// of the same name. It blocks until the key is deleted or ctx ends. If the session has expired or
// the key is gone, the lock is already released, and Unlock returns nil.
//
// Errors: [ErrLockReleased] if the mutex is not locked or was unlocked before; those of
// [clientv3.KV].
//
// After an error the holder must treat the lock as released. The session repeats the deletion in
// the background until it succeeds, or until one TTL after the end of the session. Unlock may be
// called again to wait for the deletion.
func (m *Mutex) Unlock(ctx context.Context) error {
	if m.mutexState == nil {
		return ErrLockReleased
	}
	m.mu.Lock()
	held := m.held
	if held == nil {
		m.mu.Unlock()
		return ErrLockReleased
	}
	held.released = true
	held.lost(ErrLockReleased)
	m.mu.Unlock()

	m.s.update(m.key, func(*keystate.State) { held.key.End() })
	_, err := m.s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(m.key), "=", held.key.Create)).
		Then(clientv3.OpDelete(m.key)).
		Commit()
	if err != nil {
		m.s.update(m.key, func(k *keystate.State) { k.Delete(held.key) })
		return m.s.failure(ctx, ctx, err)
	}
	m.s.update(m.key, func(k *keystate.State) { k.Deleted(held.key.Version) })
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == held {
		m.held = nil
	}
	return nil
}

// IsOwner returns a condition for transactions: the key by which the mutex was locked still exists.
// So the condition is true while the session holds the lock, and false once the lock is lost. If
// the mutex was never locked, or was unlocked, the condition is never true.
func (m *Mutex) IsOwner() clientv3.Cmp {
	const none = -1 // a create revision that no key has
	return clientv3.Compare(clientv3.CreateRevision(m.key), "=", cmp.Or(m.Rev(), none))
}

// Key returns the name of the session's key while the lock is held, and otherwise "".
func (m *Mutex) Key() string {
	if m.Rev() == 0 {
		return ""
	}
	return m.key
}

// Rev returns the create revision of the session's key while the lock is held, and otherwise 0. It
// is a fencing token: each later holder of the lock has a greater revision.
func (m *Mutex) Rev() int64 {
	if m.mutexState == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		return 0
	}
	return m.held.key.Create
}

// Header returns the header of the response with which the last successful Lock or TryLock acquired
// the lock. It returns nil if the mutex was never locked. The caller must not change the header.
func (m *Mutex) Header() *pb.ResponseHeader {
	if m.mutexState == nil {
		return nil
	}
	return m.hdr.Load()
}

// Ctx returns a context that ends as soon as the lock may be lost: when Unlock is called, when the
// session ends, and when another client has deleted the session's key. It is a child of the
// session's context. If the lock is not held, Ctx returns a context that has already ended.
// context.Cause returns the reason why the context has ended.
//
// The first call of Ctx after an acquisition starts a watch of the key, which costs a request.
func (m *Mutex) Ctx() context.Context {
	if m.mutexState == nil || m.s == nil {
		ctx, end := context.WithCancelCause(zero.ctx)
		end(ErrLockReleased)
		return ctx
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

// lost ends the context that Mutex.Ctx has made for the acquisition, with the given cause. It does
// nothing if Ctx was not called or if the receiver is nil.
func (a *acquisition) lost(cause error) {
	if a != nil && a.end != nil {
		a.end(cause)
	}
}

// guard waits until the key of the acquisition is gone, and then ends the context that Mutex.Ctx
// has returned. It also returns when that context has ended for another reason.
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

// NewLocker returns a [Mutex] as a sync.Locker. Its Lock waits until the lock is acquired, or the
// session or the client ends. Its Unlock waits until the lock is released, or the client ends. Both
// panic with the error of the Mutex's method, because a sync.Locker cannot return errors.
func NewLocker(s *Session, pfx string) sync.Locker { return locker{NewMutex(s, pfx)} }

type locker struct{ *Mutex }

func (l locker) Lock() {
	if err := l.Mutex.Lock(l.s.client.Ctx()); err != nil {
		panic(err) //nolint:forbidigo // a sync.Locker cannot return errors
	}
}

func (l locker) Unlock() {
	if err := l.Mutex.Unlock(l.s.client.Ctx()); err != nil {
		panic(err) //nolint:forbidigo // a sync.Locker cannot return errors
	}
}
