package recipe

import (
	"context"
	"errors"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// errInUse is returned by RLock and Lock of an RWMutex that is locked already, or
// waits for it.
var errInUse = errors.New("recipe: the RWMutex is in use; each holder needs one of its own")

// RWMutex is a lock that any number of readers hold at a time, or one writer. A
// writer waits for all who came before it, a reader for the writers who did.
//
// Each RWMutex is one contender, whether or not others have the same session, and for
// one holder at a time. As with every lock of this kind, a holder whose session
// ends may not know it at once: see [concurrency.Mutex]. The methods are safe for
// concurrent use.
type RWMutex struct {
	s   *concurrency.Session
	pfx string

	// guarded by mu
	mu    sync.Mutex
	busy  bool         // locking
	own   *EphemeralKV // nil while it is not locked
	since int64        // a revision in which it was
}

// NewRWMutex returns a contender for the lock whose keys begin with prefix and a
// slash. It sends nothing.
func NewRWMutex(s *concurrency.Session, prefix string) *RWMutex {
	return &RWMutex{s: s, pfx: prefix + "/"}
}

// RLock waits until no writer that came before has the lock. Errors:
// [concurrency.ErrSessionExpired], also where the contender's key was deleted by someone
// else; one of its own where this RWMutex is locked already, or waits for the lock.
// After an error nothing is left behind.
func (rw *RWMutex) RLock() error { return rw.lock("read/", "write/") }

// Lock waits until nobody that came before has the lock. Its errors are those of
// RLock.
func (rw *RWMutex) Lock() error { return rw.lock("write/", "") }

// lock puts a key and waits until there is none before it under rivals.
func (rw *RWMutex) lock(dir, rivals string) error {
	if !rw.begin() {
		return errInUse
	}
	own, since, err := rw.acquire(dir, rivals)
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.busy, rw.own, rw.since = false, own, since
	return err
}

func (rw *RWMutex) begin() bool {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	if rw.busy || rw.own != nil {
		return false
	}
	rw.busy = true
	return true
}

func (rw *RWMutex) acquire(dir, rivals string) (own *EphemeralKV, since int64, err error) {
	if own, _, err = createEphemeral(rw.s, rw.pfx+dir); err != nil {
		return nil, 0, err
	}
	client := rw.s.Client()
	before := append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(own.Revision()-1))
	err = await(rw.s.Ctx(), client, func(ctx context.Context) (*change, error) {
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
		return &change{key: string(found[1][0].Key), typ: mvccpb.Event_DELETE, from: rev + 1}, nil
	})
	if err != nil {
		rw.s.Discard(own.Key(), own.Revision())
		return nil, 0, sessionError(rw.s, err)
	}
	return own, since, nil
}

// RUnlock releases a lock that RLock acquired. Errors: [concurrency.ErrLockReleased]
// where it is not locked; [concurrency.ErrSessionExpired] where the session ends
// meanwhile. After any but the first the key is deleted in the background, and RUnlock
// may be called again to wait for it.
func (rw *RWMutex) RUnlock() error { return rw.unlock() }

// Unlock releases a lock that Lock acquired. Its errors are those of RUnlock.
func (rw *RWMutex) Unlock() error { return rw.unlock() }

func (rw *RWMutex) unlock() error {
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
