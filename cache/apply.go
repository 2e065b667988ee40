package cache

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// changeOverhead is about how many bytes a change in the log takes in addition to its keys and
// values.
const changeOverhead = 160

// apply takes a response of the watch and publishes the view that results from its events. notice
// is true if the response is a notice of progress that can be trusted: it comes after all events up
// to its revision. While apply runs, Cache.prove may raise the revision of the newest view. Then
// apply starts again from the newest view.
func (f *follower) apply(resp *clientv3.WatchResponse, notice bool) error {
	if notice {
		defer f.c.noticed()
	}
	for {
		v := f.c.now()
		n := successor{view: v, listed: f.listed, tree: v.tree.Edit(), bytes: v.bytes,
			revision: v.revision, passed: f.passed(), entry: &entry{}, late: f.late}
		for _, ev := range resp.Events {
			n.add(f.c.keepEvent(ev, len(resp.Events) > 1))
		}
		if notice {
			n.passed = max(n.passed, resp.Header.Revision)
			n.revision = max(n.revision, n.passed)
		}
		if n.wrong || n.late != nil && n.passed > v.revision {
			f.c.replaced(v, "the copy had passed the revision of an event before the event came")
			return errListAgain
		}
		if err := f.c.tooLarge(n.bytes); err != nil {
			return err
		}
		if f.publish(&n, originOf(resp.Header)) {
			f.late = n.late
			return nil
		}
	}
}

// publish makes n, which results from a response of the watch, the newest view. It returns false if
// Cache.prove has raised the revision of the newest view after n was made. The caller must then
// make the successor again, from the newest view.
func (f *follower) publish(n *successor, o origin) bool {
	c := f.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().revision != n.view.revision {
		return c.now().err != nil
	}
	logged := n.logged()
	if n.revision == n.view.revision && logged == n.view.logged {
		return true
	}
	c.publishLocked(func(next *view) {
		next.logged = logged
		next.tree, next.bytes = n.tree.Tree(), n.bytes
		next.revision, next.origin = n.revision, o
		if n.complete != nil {
			c.append(next, n.complete)
		}
		if len(n.entry.changes) > 0 {
			c.append(next, n.entry)
		}
	})
	return true
}

// successor is a view in the making: the newest view with the events of one response of the watch
// applied to it.
type successor struct {
	view *view
	// listed is the revision of the newest list (read of the whole range), which has all events up
	// to that revision.
	listed   int64
	tree     keytree.Editor
	bytes    int64
	revision int64
	passed   int64  // the watch has delivered all events up to this revision
	entry    *entry // the changes by the response's events, for the log

	// Cache.prove can raise the revision of a view to a revision R before the watch has delivered
	// all events up to R. It does so only after it has read that the range at R equals the tree of
	// the view. So the missing events are of keys that were created and deleted again. These events
	// are collected in the field late until all of their keys have been deleted again. Then they go
	// to the log together, and the tree does not change.
	late     *lateChanges // the late events so far; nil if there are none
	ownsLate bool         // the value of late is this successor's own copy and may be changed
	complete *entry       // the late changes that go to the log now; nil if there are none
	// wrong says that the tree lacks an event that it should contain, so that the copy is wrong.
	wrong bool
}

// add applies the next event of the response to the successor n, which is a view in the making.
func (n *successor) add(ev *mvccpb.Event) {
	key, revision := keytree.Key(ev.Kv.Key), ev.Kv.ModRevision
	n.passed = max(n.passed, revision)
	old := n.tree.Get(key)
	switch {
	case revision > n.view.revision:
		n.entry.add(key, old, ev)
		if ev.Type == mvccpb.Event_DELETE {
			n.tree.Delete(key)
		} else {
			n.tree.Set(ev.Kv)
		}
		n.bytes += grown(old, ev)
		n.revision = revision
	case revision <= n.listed || old != nil && old.ModRevision >= revision:
		// The tree already has the change of this event: from the newest list (read of the whole
		// range), or from an earlier delivery of the event.
	case old == nil && revision <= n.view.confirmed:
		n.addLate(key, ev)
	default:
		n.wrong = n.wrong || old != nil || ev.Type == mvccpb.Event_PUT
	}
}

// logged returns the revision up to which the log has every change once the successor is published.
// The log lacks the changes in n.late, from the revision n.late.first on, until all of their keys
// have been deleted again.
func (n *successor) logged() int64 {
	if n.late != nil {
		return max(n.view.logged, n.late.first-1)
	}
	return n.passed
}

// addLate adds an event that comes late: a read has already shown that the key of the event does
// not exist at a later revision.
func (n *successor) addLate(key string, ev *mvccpb.Event) {
	var old *pair
	if n.late != nil {
		old = n.late.alive.Get(key)
	}
	if old == nil && ev.Type == mvccpb.Event_DELETE {
		return // the key is already deleted, so this event was delivered before
	}
	if n.late == nil || !n.ownsLate {
		n.late, n.ownsLate = n.late.next(), true
	}
	n.late.add(key, old, ev)
	n.late.alive = with(n.late.alive, key, ev)
	if n.late.alive.Len() == 0 {
		n.late, n.complete = nil, n.complete.join(n.late.entry)
	}
}

// lateChanges are the changes of late events. An event of revision r is late if Cache.prove had set
// the revision of the view to r or higher before the watch delivered the event.
type lateChanges struct {
	*entry
	// alive has the keys that exist after these changes. When alive is empty, the changes can go to
	// the log.
	alive tree
}

// next returns a copy of l, to which a successor (a view in the making) can add changes. l is not
// changed: if the successor is not published, another one is made, from l again.
func (l *lateChanges) next() *lateChanges {
	if l == nil {
		return &lateChanges{entry: &entry{}}
	}
	e := &entry{first: l.first, last: l.last, size: l.size, changes: l.changes}
	return &lateChanges{entry: e, alive: l.alive}
}

// join returns one log entry that has the changes of e, followed by those of the entry later. If e
// is nil, join returns the entry later itself.
func (e *entry) join(later *entry) *entry {
	if e == nil {
		return later
	}
	return &entry{first: e.first, last: later.last, size: e.size + later.size,
		changes: append(e.changes, later.changes...)}
}

// with returns the tree that results if an event of the key is applied to the tree t.
func with(t tree, key string, ev *mvccpb.Event) tree {
	if ev.Type == mvccpb.Event_DELETE {
		return t.Delete(key)
	}
	return t.Set(ev.Kv)
}

// grown returns by how many bytes of keys and values the tree grows if an event is applied to a key
// whose pair is old. It is negative if the tree shrinks.
func grown(old *pair, ev *mvccpb.Event) int64 {
	if ev.Type == mvccpb.Event_DELETE {
		return -fill.Bytes(old)
	}
	return fill.Bytes(ev.Kv) - fill.Bytes(old)
}

// add adds the change of one event to an entry of the log. The parameter old is the key's pair
// before the event; nil if the key did not exist.
func (e *entry) add(key string, old *mvccpb.KeyValue, ev *mvccpb.Event) {
	ch := change{Change: Change{Key: key, Old: old}, revision: ev.Kv.ModRevision}
	if ev.Type != mvccpb.Event_DELETE {
		ch.New = ev.Kv
	}
	if len(e.changes) == 0 {
		e.first = ch.revision
	}
	e.last = ch.revision
	e.changes = append(e.changes, ch)
	e.size += ch.size()
}

// size returns the bytes of a change, which count against the limit set by WithHistory.
func (ch *change) size() int64 { return changeOverhead + fill.Bytes(ch.Old) + fill.Bytes(ch.New) }

// append appends the entry e to the log, and makes e the last entry of the view next, which is
// about to be published.
func (c *Cache) append(next *view, e *entry) {
	e.era = next.era
	c.history.append(e)
	next.last = e
}

// keepEvent returns the event as the cache stores it. If the cache has keys only, that is without
// the value and the lease. If many is true, the response has other events, too, and keepEvent
// copies the pair. The pairs of a response share memory, and one stored pair would keep all of it
// in use.
func (c *Cache) keepEvent(ev *mvccpb.Event, many bool) *mvccpb.Event {
	strip := c.opts.keysOnly && (len(ev.Kv.Value) > 0 || ev.Kv.Lease != 0)
	if !strip && !many {
		return ev
	}
	old := ev.Kv
	kv := &mvccpb.KeyValue{Key: old.Key, CreateRevision: old.CreateRevision,
		ModRevision: old.ModRevision, Version: old.Version}
	if !c.opts.keysOnly {
		kv.Value, kv.Lease = old.Value, old.Lease
	}
	compact([]*pair{kv})
	return &mvccpb.Event{Type: ev.Type, Kv: kv}
}

// finish publishes the state that the list (read of the whole range) has built. It does nothing as
// long as the list is not complete, or the watch has not delivered all events up to the list's
// greatest revision.
func (f *follower) finish() error {
	c, old := f.c, f.c.now()
	t, bytes, revision, ok := f.fill.Whole()
	if !ok {
		return nil
	}
	if err := c.tooLarge(bytes); err != nil {
		return err
	}
	o := f.origin
	changes := difference(old.tree, t, revision)
	f.stopList()
	f.listed, f.late = revision, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list.wanted && !c.list.begun {
		return errListAgain
	}
	replaced := c.list.replaced
	c.list, c.listTarget, c.phase = listing{}, 0, ""
	c.counts.lists.Add(1)
	c.publishLocked(func(next *view) {
		next.tree, next.bytes, next.revision, next.origin = t, bytes, revision, o
		next.logged = revision
		next.lists++
		if replaced {
			next.era++
			next.doubted, next.provenAt = false, time.Time{}
		}
		if !old.synced() {
			c.append(next, &entry{first: revision, last: revision, gap: true})
			return
		}
		e := &entry{first: old.revision + 1, last: revision, gap: true, changes: changes}
		for i := range changes {
			e.size += changes[i].size()
		}
		c.append(next, e)
	})
	return nil
}
