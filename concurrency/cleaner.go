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

// cleaner deletes one key if its state says so, and watches the key while there are puts of it with
// an unknown outcome. A key has a cleaner as long as its state is dirty.
type cleaner struct {
	s    *session
	key  string
	wake chan struct{} // has a token if the state has changed
}

// run cleans up until nothing is left to do, until the server denies the key to the client, or
// until ctx ends.
func (c *cleaner) run(ctx context.Context) {
	err := await.Loop(ctx, nil, c.clean, func(err error) bool {
		return ctx.Err() != nil ||
			classify.IsHalt(ctx, err) && classify.IsRefusal(err) // not "too many requests"
	})
	if err != nil {
		c.s.note(c.key, func(k *key) {
			k.GiveUp()
			k.cleaner = nil
		})
	}
}

// clean deletes the version of the key that is due for deletion. It reads the key to find out
// whether an uncertain put has made it. It returns the Change to wait for, or nil if nothing is
// left to do.
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

// duties returns the version that has to be deleted, or nil if none has. dirty reports whether the
// cleaner has anything left to do. If it has not, duties removes it from the key.
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

// look reads the key, records it in the key's state, and returns the revision of the store.
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

// changed waits for an event of the key from the revision since on, or for a change of the key's
// state, and returns true then. It returns false if the watch ends before.
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

// goBackground runs f on a goroutine of its own; f must end with the session. It returns false, and
// does nothing, once the session is closed.
func (s *session) goBackground(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goLocked(f)
}

func (s *session) goLocked(f func()) bool {
	if s.closed {
		return false
	}
	// Ends with the session's context or that of clean-up. Close ends both, and waits.
	s.background.Go(f)
	return true
}

// cleanUpLocked returns the context of clean-up. The context ends when the session is closed, when
// the client is closed, and a TTL after the session has ended otherwise: by then the lease has
// expired, unless another session keeps it alive.
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

// grace is how long a call that has failed waits for its key to be deleted, so that the key is gone
// when the call returns if the cluster answers quickly.
const grace = 30 * time.Millisecond

// key is the state of one key of a session, and its clean-up. The session's mutex guards it.
type key struct {
	keystate.State
	cleanedUp chan struct{} // closed when the state stops being urgent; nil if it is not urgent
	cleaner   *cleaner      // at work while the state is dirty; nil otherwise
}

// Discard deletes a key that was put with the session's lease, in the background. Recipes call it
// if the outcome of the key's put, or of a delete, is unknown. With a rev of 0 it also deletes a
// key whose put is applied only later, by a member that was cut off or stopped. Otherwise rev is
// the key's create revision, and a key of that name with another create revision is left alone.
//
// The key must not be put again with this lease. Discard does not block. It goes on until it has
// succeeded, until the server denies the key to the client, or until a TTL after the end of the
// session. Close ends it, because the server deletes the key with the lease.
func (s *Session) Discard(key string, rev int64) {
	if s.session != nil {
		s.update(key, func(k *keystate.State) { k.Discard(rev) })
	}
}

// update makes a change to the state of a key. It starts the key's cleaner, or wakes it, if the
// cleaner has something to do.
func (s *session) update(name string, change func(*keystate.State)) {
	s.note(name, func(k *key) {
		change(&k.State)
		s.cleanLocked(name, k)
	})
}

// note makes a change to the state of a key, and does not wake the key's cleaner. The cleaner calls
// it for its own changes.
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

// cleanLocked starts a cleaner for a key that needs one, or wakes the one that it has. Once the
// session is closed there is nothing to clean up.
func (s *session) cleanLocked(name string, k *key) {
	switch {
	case k.cleaner != nil && (k.Urgent() || !k.Dirty()):
		select {
		case k.cleaner.wake <- struct{}{}:
		default: // one token is enough
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

// changedLocked is called after each change of a key's state. It wakes the calls that wait until
// the key is cleaned up, and removes the key from s.keys if the session need not remember it.
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

// waitCleanedUp waits until clean-up has deleted a key, if it has to, but no longer than grace.
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

// deleteVersion deletes a version of a key, and no later one. It may be repeated.
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

// versionOf returns the version of a key that a delete has as its condition. For a key with this
// session's nonce the version includes the mod revision, so that the delete does nothing once
// another session on the lease has put its own nonce on the key. Other keys need the create
// revision only.
func (s *session) versionOf(kv *mvccpb.KeyValue) keystate.Version {
	v := keystate.Version{Create: kv.GetCreateRevision()}
	if strings.HasPrefix(string(kv.GetValue()), s.nonce) {
		v.Mod = kv.GetModRevision()
	}
	return v
}
