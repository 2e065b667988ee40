package concurrency

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// cleaner deletes one key of a session in the background. The state of the key (package keystate)
// says whether to delete it, and which version. While a put of the key has an unknown outcome, the
// cleaner also watches the key, because a member may still apply the put.
//
// A key has a cleaner only while there is something to delete or to watch for.
type cleaner struct {
	s    *session
	key  string
	wake chan struct{} // receives a signal, which wakes the cleaner, when the key's state changes
}

// run cleans up until nothing is left to do, until the server refuses this client the deletion of
// the key, or until ctx ends.
func (c *cleaner) run(ctx context.Context) {
	err := await.Loop(ctx, nil, c.clean, func(err error) bool {
		return ctx.Err() != nil ||
			// End if the server has refused the request for good. IsHalt is false for "too many
			// requests", so run tries again after that refusal.
			classify.IsHalt(ctx, err) && classify.IsRefusal(err)
	})
	if err != nil {
		c.s.note(c.key, func(k *key) {
			k.GiveUp()
			k.cleaner = nil
		})
	}
}

// clean deletes the key if the state of the key asks for that. Otherwise it reads the key, to find
// out whether a put with an unknown outcome has created it. It returns a function that waits until
// clean has to be called again, or nil if nothing is left to do.
func (c *cleaner) clean(ctx context.Context) (await.Change, error) {
	for rev := int64(0); ; {
		v, dirty := c.duties()
		switch {
		case !dirty:
			return nil, nil
		case v != nil:
			if err := c.s.deleteVersion(ctx, c.key, *v); err != nil {
				return nil, err
			}
		case rev != 0:
			return func(ctx context.Context) bool { return c.changed(ctx, rev+1) }, nil
		default:
			var err error
			if rev, err = c.look(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// duties returns the version of the key to delete next, or nil if there is none. dirty reports
// whether the cleaner has anything left to do. If not, duties removes the cleaner from the key, so
// that a later change of the key's state can start a new one.
func (c *cleaner) duties() (v *keystate.Version, dirty bool) {
	c.s.note(c.key, func(k *key) {
		if in := k.ToDelete(); in != nil {
			found := in.Version
			v = &found
		}
		if dirty = k.Dirty(); !dirty {
			k.cleaner = nil
		}
	})
	return v, dirty
}

// look reads the key, records in the state of the key what it has found, and returns the revision
// of the store.
func (c *cleaner) look(ctx context.Context) (rev int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := c.s.client.Get(ctx, c.key)
	if err != nil {
		return 0, err
	}
	c.s.note(c.key, func(k *key) {
		k.SawNone()
		for _, kv := range resp.Kvs {
			if kv.GetLease() == int64(c.s.lease) {
				k.Saw(c.s.versionOf(kv), string(kv.GetValue()))
			}
		}
	})
	return max(resp.Header.GetRevision(), 1), nil
}

// changed waits until the key has an event at the given revision or later, or until the state of
// the key changes. Then it returns true. It returns false if the watch ends first.
func (c *cleaner) changed(ctx context.Context, since int64) bool {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := c.s.client.Watch(ctx, c.key, clientv3.WithRev(since))
	for {
		select {
		case resp, open := <-events:
			if len(resp.Events) > 0 {
				return true
			}
			if !open || resp.Err() != nil {
				return false
			}
		case <-c.wake:
			return true
		}
	}
}

// goBackground starts f on a goroutine of its own and returns true. If the session is closed, it
// returns false and does not start f.
//
// f must run in the session's context or in the context of clean-up, and return when that context
// ends. Close ends both contexts and waits for f.
func (s *session) goBackground(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goLocked(f)
}

func (s *session) goLocked(f func()) bool {
	if s.closed {
		return false
	}
	// The goroutine ends with the session's context or the context of clean-up. Close ends both
	// contexts and waits for the goroutine.
	s.background.Go(f)
	return true
}

// cleanUpLocked returns the context in which cleaners work. It ends when the session or the client
// is closed. If the session ends in another way, the context ends one TTL later. By then the lease
// has expired, unless another session keeps it alive.
func (s *session) cleanUpLocked() context.Context {
	if s.cleanUpCtx != nil {
		return s.cleanUpCtx
	}
	ctx, cancel := context.WithCancel(s.base)
	dropClient := context.AfterFunc(s.client.Ctx(), cancel)
	dropSession := context.AfterFunc(s.ctx, func() { time.AfterFunc(s.ttl, cancel) })
	context.AfterFunc(ctx, func() { dropClient(); dropSession() })
	s.cleanUpCtx, s.stopCleanUp = ctx, cancel
	return ctx
}

// grace is how long a call that has failed waits for the deletion of its key. If the cluster
// answers within that time, the key is gone when the call returns.
const grace = 30 * time.Millisecond

// key holds the state of one key of a session, and the cleaner of the key. The session's mutex
// guards it.
type key struct {
	keystate.State
	// cleanedUp is closed once the cleaner has deleted the key, or has read it and found nothing to
	// delete. It is nil if no call has to wait for that.
	cleanedUp chan struct{}
	cleaner   *cleaner // nil while nothing has to be deleted or watched
}

// Discard deletes, in the background, a key that was put with the session's lease. Recipes call it
// if the outcome of a put or a delete of the key is unknown. It does not block. The key must not be
// put again with this lease.
//
// rev is the create revision of the key. Discard does not delete a key with another create
// revision. If rev is 0, the create revision is unknown. Discard then also deletes the key if a
// member that was cut off or stopped applies the put later.
//
// Discard repeats the deletion until one of these happens:
//
//   - The key is deleted.
//   - The server refuses this client the deletion.
//   - One TTL has passed since the end of the session.
//   - Close is called. The server then deletes the key with the lease.
func (s *Session) Discard(key string, rev int64) {
	if s.session != nil {
		s.update(key, func(k *keystate.State) { k.Discard(rev) })
	}
}

// update changes the state of the key with the given name. If this gives the key's cleaner
// something to do, update starts the cleaner or wakes it.
func (s *session) update(name string, change func(*keystate.State)) {
	s.note(name, func(k *key) {
		change(&k.State)
		s.cleanLocked(name, k)
	})
}

// note changes the state of the key with the given name, and neither starts nor wakes the key's
// cleaner. Cleaners use note to record what they have done and seen.
func (s *session) note(name string, change func(*key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[name]
	if k == nil {
		k = &key{}
		s.keys[name] = k
	}
	change(k)
	s.changedLocked(name, k)
}

// cleanLocked starts a cleaner for a key that needs one and has none. It wakes an existing cleaner
// when the key has to be deleted or read at once, or when nothing is left to clean up.
//
// If the session is closed, there is nothing to clean up: the server deletes the key with the
// lease.
func (s *session) cleanLocked(name string, k *key) {
	switch {
	case k.cleaner != nil && (k.Urgent() || !k.Dirty()):
		select {
		case k.cleaner.wake <- struct{}{}:
		default: // the channel still holds an earlier signal, and one is enough
		}
	case k.cleaner == nil && k.Dirty():
		c := &cleaner{s: s, key: name, wake: make(chan struct{}, 1)}
		ctx := s.cleanUpLocked()
		if s.goLocked(func() { c.run(ctx) }) {
			k.cleaner = c
		} else {
			k.GiveUp()
		}
	}
}

// changedLocked is called after each change of a key's state. It wakes the calls of waitCleanedUp.
// It also removes the key from s.keys if the session has nothing to remember about the key.
func (s *session) changedLocked(name string, k *key) {
	switch {
	case k.Urgent() && k.cleanedUp == nil:
		k.cleanedUp = make(chan struct{})
	case !k.Urgent() && k.cleanedUp != nil:
		close(k.cleanedUp)
		k.cleanedUp = nil
	}
	if k.Idle() && k.cleaner == nil {
		delete(s.keys, name)
	}
}

// waitCleanedUp waits until the key is cleaned up, but no longer than the constant grace. A key is
// cleaned up when its cleaner has deleted it, or has read it and found nothing to delete. If there
// is nothing to clean up, waitCleanedUp returns at once.
func (s *session) waitCleanedUp(name string) {
	s.mu.Lock()
	var cleanedUp chan struct{}
	if k := s.keys[name]; k != nil {
		cleanedUp = k.cleanedUp
	}
	s.mu.Unlock()
	if cleanedUp == nil {
		return
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-cleanedUp:
	case <-t.C:
	}
}

// deleteVersion deletes the key if it still has the version v. Because of this condition the
// request may be repeated, and a request that a member applies late does not delete a later
// version.
func (s *session) deleteVersion(ctx context.Context, name string, v keystate.Version) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	is := clientv3.Compare(clientv3.CreateRevision(name), "=", v.Create)
	if v.Mod != 0 {
		is = clientv3.Compare(clientv3.ModRevision(name), "=", v.Mod)
	}
	_, err := s.client.Txn(ctx).If(is).Then(clientv3.OpDelete(name)).Commit()
	if err != nil {
		return err
	}
	s.note(name, func(k *key) { k.Deleted(v) })
	return nil
}

// versionOf returns the version of kv. A delete of the key requires that the key still has this
// version. The version is the create revision, and also the mod revision if the value begins with
// this session's nonce. So the delete does nothing if another session on the lease has meanwhile
// written its own nonce into the value.
func (s *session) versionOf(kv *mvccpb.KeyValue) keystate.Version {
	v := keystate.Version{Create: kv.GetCreateRevision()}
	if strings.HasPrefix(string(kv.GetValue()), s.nonce) {
		v.Mod = kv.GetModRevision()
	}
	return v
}
