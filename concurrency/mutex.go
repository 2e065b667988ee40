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
// It is a lock between sessions: all mutexes of one session with one prefix share one key. A second
// Lock by any of them succeeds at once, and the first Unlock releases the lock for all. Goroutines
// that are to exclude each other need sessions of their own, or a sync.Mutex around this one.
//
// # What a holder can rely on
//
// A lease can expire while its holder is suspended or cut off, and then another session gets the
// lock. There are three ways to protect against that, from the safest to the least safe:
//
//   - Write to this cluster in transactions with the condition [Mutex.IsOwner]. They are not
//     applied once the lock is lost.
//   - Send the fencing token [Mutex.Rev] with writes to other systems. It grows from holder to
//     holder, so such a system can refuse tokens lower than the highest that it has seen.
//   - Stop all other work when [Mutex.Ctx] ends. It ends as soon as the client knows that the lock
//     may be lost.
//
// The methods are safe for concurrent use. A copy of a Mutex shares its state.
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
	key      *keystate.Incarnation // record of the mutex's key
	since    int64                 // a revision at which the session held the lock
	released bool                  // an Unlock has begun

	// nil until Mutex.Ctx is called
	ctx context.Context
	end context.CancelCauseFunc
}

// NewMutex returns a mutex for the keys that begin with pfx and a slash. It sends nothing. The
// session's key is named pfx, a slash, and the lease in hexadecimal.
func NewMutex(s *Session, pfx string) *Mutex {
	c := newContender(s, pfx)
	if c.s != nil {
		c.mark = c.s.nonce
	}
	return &Mutex{contender: c, mutexState: &mutexState{}}
}

// Lock waits until the session has the lock, or ctx, the session or the client ends. It returns
// within a round trip of the server's notice that the session has expired, or that another client
// has deleted its key.
//
// Errors: the context's; [ErrSessionExpired]; any error of the first request; those errors of
// [clientv3.KV] that a later attempt cannot clear, such as rpctypes.ErrPermissionDenied. While Lock
// waits for its turn, it goes on if members are unavailable.
//
// After an error the session's key is deleted. If the cluster cannot be reached, clean-up goes on
// in the background until the key is deleted or the session's TTL has passed. It also deletes a key
// that a member puts only later, because the value of the key proves that this session has created
// it. A key that another session on the same lease has created or uses is not deleted.
//
// If the lease is gone, the error is rpctypes.ErrLeaseNotFound, and the session ends. If one
// goroutine waits for the lock and another goroutine of the session calls Unlock, the waiting
// goroutine puts a new key at the end of the queue.
//
// An uncontended Lock costs one request. A Lock that has to wait needs one event and one request
// from the moment at which the lock is free.
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

// wasReleased reports whether the session lives and an Unlock by another goroutine has deleted the
// key of p. A call that was waiting with this key has to wait with a new key.
func (m *Mutex) wasReleased(p position) (released bool) {
	m.s.update(m.key, func(*keystate.State) { released = p.incarnation.Ended() })
	return released && m.s.over() == nil
}

// TryLock takes the lock if no session has it or waits for it. It does not wait: it is one request,
// and puts no key if the lock is taken. Errors: [ErrLocked], and those of Lock.
func (m *Mutex) TryLock(ctx context.Context) error {
	return m.acquire(ctx, func(ctx context.Context) (position, error) {
		p, err := m.tryEnter(ctx, m.mark+isMade)
		switch {
		case errors.Is(err, errOccupied):
			return position{}, ErrLocked
		case err == nil && p.ahead != "":
			// Another call waits with the key: one of this session, or of a session on its lease.
			m.abandon(p)
			return position{}, ErrLocked
		}
		return p, err
	})
}

// acquire is the common part of Lock and TryLock. It calls enter, which returns the position of the
// session's key once the session has the lock, and records the acquisition.
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

// acquired records an acquisition, unless an acquisition with the key of p or a newer key is
// recorded. All goroutines that have locked the mutex count as one user of its key, so acquired
// releases each further use.
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

// Unlock releases the lock: it deletes the key of this acquisition, and no other. It blocks until
// the key is deleted or ctx ends. It returns nil if the session has expired or the key is gone,
// because the lock is released then.
//
// After an error the lock counts as released for the holder. The key is deleted in the background:
// that is repeated until it has succeeded or the session's TTL has passed. Unlock may be called
// again to wait for the deletion. Errors: [ErrLockReleased] if the mutex is not locked or was
// released before; those of [clientv3.KV].
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

// IsOwner returns a condition for transactions. It is true as long as the lock is held by this
// acquisition. If the mutex was never locked, or was released, the condition is never true.
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
// is a fencing token: each later holder has a greater one.
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

// Header returns the header of the response in which the last Lock or TryLock saw that the session
// had the lock. It returns nil if the mutex was never locked. The header must not be changed.
func (m *Mutex) Header() *pb.ResponseHeader {
	if m.mutexState == nil {
		return nil
	}
	return m.hdr.Load()
}

// Ctx returns a context that ends as soon as the lock may be lost: when Unlock is called, when the
// session ends, and when another client has deleted the key. It is a child of the session's
// context. If the lock is not held, Ctx returns a context that has ended. context.Cause returns the
// reason.
//
// The first call after an acquisition starts a watch of the key, which costs a request.
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

// lost ends the context of the acquisition with a cause, if Ctx has made the context. a may be nil.
func (a *acquisition) lost(cause error) {
	if a != nil && a.end != nil {
		a.end(cause)
	}
}

// guard waits until the key of an acquisition is gone, and then ends the context of the
// acquisition. It also returns when that context has ended for another reason.
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
// session or the client ends. Its Unlock waits until the lock is released, or the client ends. If
// the Mutex's method returns an error, they panic with it: a Locker has no other way to report it.
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
