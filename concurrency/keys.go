package concurrency

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// grace is how long a call that has failed waits for its key to be deleted, so that the key is gone
// when the call returns if the cluster answers quickly.
const grace = 30 * time.Millisecond

// key is the state of one key of a session, and its clean-up. The session's mutex guards it.
type key struct {
	keystate.State
	cleanedUp chan struct{} // closed when the state is urgent no more; nil if it is not
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

// update makes a change to the state of a key, and starts or wakes its clean-up if that has
// something to do.
func (s *session) update(name string, change func(*keystate.State)) {
	s.note(name, func(k *key) {
		change(&k.State)
		s.cleanLocked(name, k)
	})
}

// note makes a change to the state of a key in the name of its cleaner, which it does not have to
// wake.
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

// forgetUncertain records the end of the session as an orphan in the state of each key: see
// [keystate.State.Orphan].
func (s *session) forgetUncertain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, k := range s.keys {
		k.Orphan()
		s.cleanLocked(name, k)
		s.changedLocked(name, k)
	}
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

// changedLocked follows each change of a key's state. It wakes the calls that wait for clean-up,
// and removes the key from s.keys if there is nothing to remember.
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
