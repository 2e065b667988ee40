package recipe

import (
	"context"
	"errors"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/await"
)

// errInUse is returned by RLock and Lock of an RWMutex that is locked already, or that waits for
// the lock in another call.
var errInUse = errors.New("recipe: the RWMutex is in use; each holder needs one of its own")

// RWMutex is one contender for a lock in etcd. Either any number of readers hold the lock, or one
// writer holds it. A writer waits for all readers and writers that asked before it. A reader waits
// for all writers that asked before it.
//
// An RWMutex can be held only once at a time, also for reading. Readers that hold the lock together
// need an RWMutex each. Several RWMutexes may use the same session. The methods are safe for
// concurrent use.
//
// A holder may not notice at once that its session has ended: see [concurrency.Mutex].
type RWMutex struct {
	s   *concurrency.Session
	pfx string

	// guarded by mu
	mu    sync.Mutex
	busy  bool         // RLock or Lock is under way
	own   *EphemeralKV // this contender's key; nil while the RWMutex is not locked
	since int64        // a revision at which this contender held the lock
}

// NewRWMutex returns a contender for the lock whose keys begin with prefix and a slash. It sends no
// request.
func NewRWMutex(s *concurrency.Session, prefix string) *RWMutex {
	return &RWMutex{s: s, pfx: prefix + "/"}
}

// RLock waits until no writer that asked earlier has the lock or waits for it. After an error no
// key is left behind. Errors:
//
//   - [concurrency.ErrSessionExpired] if the session ends meanwhile, or if another client deletes
//     the key that RLock has put
//   - an unexported error at once if this RWMutex is locked already, or if another call waits for
//     the lock with it
//   - those of clientv3.KV
func (rw *RWMutex) RLock() error { return rw.lock("read/", "write/") }

// Lock waits until no reader or writer that asked earlier has the lock or waits for it. Its errors
// are those of [RWMutex.RLock].
func (rw *RWMutex) Lock() error { return rw.lock("write/", "") }

// lock puts a key in the directory dir, and waits until older keys in the directory rivals are
// deleted. Both directories are below the lock's prefix. If rivals is "", lock waits for all older
// keys of the lock.
func (rw *RWMutex) lock(dir, rivals string) error {
	rw.mu.Lock()
	if rw.busy || rw.own != nil {
		rw.mu.Unlock()
		return errInUse
	}
	rw.busy = true
	rw.mu.Unlock()
	own, since, err := rw.acquire(dir, rivals)
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.busy, rw.own, rw.since = false, own, since
	return err
}

func (rw *RWMutex) acquire(dir, rivals string) (own *EphemeralKV, since int64, err error) {
	if own, _, err = createEphemeral(rw.s, rw.pfx+dir); err != nil {
		return nil, 0, err
	}
	client := rw.s.Client()
	before := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(own.Revision()-1))
	err = waitUntil(rw.s.Ctx(), func(ctx context.Context) (await.Change, error) {
		found, rev, err := read(ctx, client, clientv3.OpGet(own.Key()),
			clientv3.OpGet(rw.pfx+rivals, before...))
		switch {
		case err != nil:
			return nil, err
		case len(found[0]) == 0:
			return nil, concurrency.ErrSessionExpired
		case len(found[1]) == 0:
			since = rev
			return nil, nil
		}
		return changeOf(client, string(found[1][0].Key), rev, clientv3.WithFilterPut()), nil
	})
	if err != nil {
		rw.s.Discard(own.Key(), own.Revision())
		return nil, 0, sessionError(rw.s, err)
	}
	return own, since, nil
}

// RUnlock releases a lock that RLock has acquired. Errors:
//
//   - [concurrency.ErrLockReleased] if the RWMutex is not locked
//   - [concurrency.ErrSessionExpired] if the session ends meanwhile
//   - those of clientv3.KV
//
// After any error except ErrLockReleased, the lock is released in the background. Call RUnlock
// again to wait for the release.
func (rw *RWMutex) RUnlock() error { return rw.Unlock() }

// Unlock releases a lock that Lock has acquired. Its errors are those of [RWMutex.RUnlock].
func (rw *RWMutex) Unlock() error {
	rw.mu.Lock()
	own := rw.own
	rw.mu.Unlock()
	if own == nil {
		return concurrency.ErrLockReleased
	}
	if err := own.giveUp(rw.s); err != nil {
		return err
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	if rw.own == own {
		rw.own = nil
	}
	return nil
}
