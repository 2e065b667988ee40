package concurrency

import (
	"context"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/keystate"
)

// grace is how long a call that has failed waits for its key to be deleted, so that
// with a cluster in good health nothing is left behind when it returns.
const grace = 30 * time.Millisecond

// key is what a session has to do with one key. The session's mutex guards it.
type key struct {
	keystate.State
	cleanedUp chan struct{} // closed when nothing is urgent any more; nil while nothing is
	cleaner   *cleaner      // at work while the state is dirty; nil otherwise
}

// Discard deletes a key that was put with the session's lease, in the background. It
// is for recipes whose own deletion, or whose put, had no certain outcome: with a rev
// of 0 it deletes the key also if the put is applied only later, by a member that
// was cut off or stopped. With the key's create revision as rev it deletes no other
// incarnation of it.
//
// The key must not be put again with this lease. Discard does not block, and goes on
// until it has succeeded, the key is denied to the client, or the session has ended
// and its TTL has passed. Close ends it, and makes it superfluous.
func (s *Session) Discard(key string, rev int64) {
	if s.session != nil {
		s.update(key, func(k *keystate.State) { k.Discard(rev) })
	}
}

// update makes a change of what is known of a key, and has clean-up begin or go on if that leaves
// it something to do.
func (s *session) update(name string, change func(*keystate.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keyLocked(name)
	change(&k.State)
	s.cleanLocked(name, k)
	s.changedLocked(name, k)
}

// note is update for the cleaner of a key, which sees by itself what there is to do.
func (s *session) note(name string, change func(*key)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keyLocked(name)
	change(k)
	s.changedLocked(name, k)
}

// forgetUncertain is for the end of the session as an orphan: see [keystate.State.Orphan].
func (s *session) forgetUncertain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, k := range s.keys {
		k.Orphan()
		s.cleanLocked(name, k)
		s.changedLocked(name, k)
	}
}

func (s *session) keyLocked(name string) *key {
	k := s.keys[name]
	if k == nil {
		k = &key{}
		s.keys[name] = k
	}
	return k
}

// cleanLocked starts a cleaner for a key that needs one, or wakes the one that is at work. Once the
// session is closed there is nothing to clean up.
func (s *session) cleanLocked(name string, k *key) {
	switch {
	case k.cleaner != nil && (k.Urgent() || !k.Dirty()):
		k.cleaner.wakeUp()
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

// changedLocked follows each change: it lets calls go on that wait for clean-up, and forgets a key
// of which there is nothing to remember.
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

// waitCleanedUp waits until nothing of a key is to be deleted, as far as is known, but no longer
// than a caller may be kept waiting.
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

// deleteVersion deletes a version of a key, and nothing that came after it. It may be repeated.
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

// versionOf returns the version that a delete of the key is conditional on. For a key with this
// session's nonce it includes the mod revision, so that the delete does nothing once another
// session on the lease has put its own nonce there. Other keys need the create revision only.
func (s *session) versionOf(kv *mvccpb.KeyValue) keystate.Version {
	v := keystate.Version{Create: kv.GetCreateRevision()}
	if strings.HasPrefix(string(kv.GetValue()), s.nonce) {
		v.Mod = kv.GetModRevision()
	}
	return v
}
