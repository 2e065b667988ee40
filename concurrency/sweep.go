package concurrency

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// grace is how long a call that has failed waits for its key to be deleted, so that
// with a cluster in good health nothing is left behind when it returns.
const grace = 30 * time.Millisecond

// Discard deletes a key that was put with the session's lease, in the background. It
// is for recipes whose own deletion, or whose put, had no certain outcome: with a rev
// of 0 it deletes the key also where the put is applied only later, by a member that
// was cut off or stopped. With the key's create revision as rev it deletes no other
// incarnation of it.
//
// The key must not be put again with this lease. Discard does not block, and goes on
// until it has succeeded, the key is denied to the client, or the session has ended
// and its TTL has passed. Close ends it, and makes it superfluous.
func (s *Session) Discard(key string, rev int64) {
	if s.session == nil {
		return
	}
	s.update(key, func(k *slot) {
		if rev != 0 {
			k.doom(rev)
		} else {
			k.suspect()
		}
	})
}

// forgetUncertain is for the end of the session as an orphan: see slot.orphan.
func (s *session) forgetUncertain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, k := range s.slots {
		s.changeLocked(key, (*slot).orphan)
		if k.sweeper != nil {
			k.sweeper.rouse()
		}
		s.dropIdleLocked(key, k)
	}
}

// update changes what the session knows of a key, and sees to what follows.
func (s *session) update(key string, change func(*slot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.changeLocked(key, change)
	switch {
	case k.sweeper != nil:
		k.sweeper.rouse()
	case k.dirty():
		s.sweepLocked(key, k)
	}
	s.dropIdleLocked(key, k)
}

// note is update for the key's sweeper, which knows what follows.
func (s *session) note(key string, change func(*slot)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropIdleLocked(key, s.changeLocked(key, change))
}

func (s *session) changeLocked(key string, change func(*slot)) *slot {
	k := s.slots[key]
	if k == nil {
		k = newSlot()
		s.slots[key] = k
	}
	change(k)
	switch {
	case k.urgent() && k.cleared == nil:
		k.cleared = make(chan struct{})
	case !k.urgent() && k.cleared != nil:
		close(k.cleared)
		k.cleared = nil
	}
	return k
}

func (s *session) dropIdleLocked(key string, k *slot) {
	if k.idle() {
		delete(s.slots, key)
	}
}

// sweepLocked starts a sweeper. Once the session is closed there is nothing to do.
func (s *session) sweepLocked(key string, k *slot) {
	w := &sweeper{s: s, key: key, wake: make(chan struct{}, 1)}
	ctx := s.choresLocked()
	if s.goLocked(func() { w.run(ctx) }) {
		k.sweeper = w
	} else {
		s.changeLocked(key, (*slot).clean)
	}
}

// waitCleared waits until nothing of a key is to be deleted, as far as can be told,
// but no longer than a caller may be kept waiting.
func (s *session) waitCleared(key string) {
	s.mu.Lock()
	var cleared chan struct{}
	if k := s.slots[key]; k != nil {
		cleared = k.cleared
	}
	s.mu.Unlock()
	if cleared == nil {
		return
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-cleared:
	case <-t.C:
	}
}

// sweeper deletes what is doomed of one key, and looks out for what suspects make.
type sweeper struct {
	s    *session
	key  string
	wake chan struct{} // has a token when the slot has changed

	// of its goroutine
	next    int64              // revision from which on the key is not known; 0: it has to be looked at
	present int64              // the incarnation that was there before next; 0 for none
	events  clientv3.WatchChan // of the key from next on, or nil
	unwatch context.CancelFunc
}

// rouse never blocks: one token says it all.
func (w *sweeper) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run goes on until the slot is clean.
func (w *sweeper) run(ctx context.Context) {
	defer w.stopWatching()
	for n := 0; ; {
		doomed, dirty := w.duties(ctx)
		if !dirty {
			return
		}
		progress, err := w.step(ctx, doomed)
		switch {
		case progress:
			n = 0
		case err == nil:
		case classify.IsHalt(ctx, err) && classify.IsRefusal(err):
			// not what a server that is busy says
			w.s.note(w.key, (*slot).clean)
		default:
			_ = backoff.Wait(ctx, repeatBackoff.Delay(n)) // duties sees the end of ctx
			n++
		}
	}
}

// duties returns what is doomed, and whether there is anything to do. Where there
// is not, or ctx allows no more, the sweeper is off duty.
func (w *sweeper) duties(ctx context.Context) (doomed []int64, dirty bool) {
	w.s.note(w.key, func(k *slot) {
		if w.present != 0 {
			k.seen(w.present)
		}
		if w.next != 0 {
			k.unlooked = false
		}
		if ctx.Err() != nil {
			k.clean()
		}
		doomed, dirty = slices.Collect(maps.Keys(k.doomed)), k.dirty()
		if !dirty {
			k.sweeper = nil
		}
	})
	return doomed, dirty
}

// step does one thing. It reports whether that was more than to try again.
func (w *sweeper) step(ctx context.Context, doomed []int64) (progress bool, err error) {
	for _, rev := range doomed {
		if err := w.s.deleteKey(ctx, w.key, rev); err != nil {
			return false, err
		}
		if w.present == rev {
			w.present = 0 // or duties would doom it again, and no event be read any more
		}
	}
	switch {
	case len(doomed) > 0:
		return true, nil
	case w.next == 0:
		return false, w.look(ctx)
	case w.events == nil:
		w.watch(ctx)
		return false, nil
	}
	err = w.await(ctx)
	return err == nil, err
}

// deleteKey deletes one incarnation of a key, unless its mark is another session's.
// It may be repeated.
func (s *session) deleteKey(ctx context.Context, key string, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	mark := ""
	s.note(key, func(k *slot) { mark = k.mark })
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", rev)}
	if mark != "" { // what begins with it
		conditions = append(conditions, clientv3.Compare(clientv3.Value(key), ">", mark),
			clientv3.Compare(clientv3.Value(key), "<", mark+"\xff"))
	}
	resp, err := s.client.Txn(ctx).If(conditions...).Then(clientv3.OpDelete(key)).Commit()
	if err != nil {
		return err
	}
	s.note(key, func(k *slot) { k.deleted(rev, resp.Succeeded) })
	return nil
}

// look reads the key.
func (w *sweeper) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := w.s.client.Get(ctx, w.key)
	if err != nil {
		return err
	}
	w.next, w.present = resp.Header.GetRevision()+1, 0
	for _, kv := range resp.Kvs {
		w.saw(kv)
	}
	return nil
}

// watch begins to follow the key from where look left it.
func (w *sweeper) watch(ctx context.Context) {
	ctx, w.unwatch = context.WithCancel(clientv3.WithRequireLeader(ctx))
	w.events = w.s.client.Watch(ctx, w.key, clientv3.WithRev(w.next))
}

// saw takes note of a key that may be the work of a put with an unknown outcome.
func (w *sweeper) saw(kv *mvccpb.KeyValue) {
	if kv.GetLease() != int64(w.s.lease) {
		return
	}
	w.s.note(w.key, func(k *slot) {
		if k.canBeSuspects(string(kv.GetValue())) {
			w.present = kv.GetCreateRevision()
		}
	})
}

func (w *sweeper) stopWatching() {
	if w.events != nil {
		w.unwatch()
		w.events, w.next = nil, 0
	}
}

// errWatchEnded is for watches, which are replaced after another look whatever
// they ended with.
var errWatchEnded = errors.New("concurrency: a watch has ended")

// await waits for a change of the key or of the slot.
func (w *sweeper) await(ctx context.Context) error {
	select {
	case resp, open := <-w.events:
		for _, ev := range resp.Events {
			w.present = 0
			if ev.Type == clientv3.EventTypePut {
				w.saw(ev.Kv)
			}
		}
		if resp.Err() != nil || !open {
			w.stopWatching()
			return errWatchEnded
		}
	case <-w.wake:
	case <-ctx.Done():
	}
	return nil
}
