package cache

import (
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/cache/internal/fill"
)

// changeOverhead is what a change in the log takes besides keys and values.
const changeOverhead = 160

// apply makes the next view from a response of the watch.
func (f *follower) apply(resp *clientv3.WatchResponse, notice bool) error {
	c, v := f.c, f.c.now()
	revision := v.revision
	e := &entry{}
	t, bytes := v.tree, v.bytes
	for _, ev := range resp.Events {
		key := fill.Key(ev.Kv.Key)
		old, _ := t.Get(key)
		if ev.Kv.ModRevision <= v.revision {
			// The list had it, it was delivered before, or a notice of progress has overtaken it.
			if ev.Kv.ModRevision > f.listed && overtaken(ev, old) {
				c.startOver("a notice of progress came before an event that it covers")
				return errListAgain
			}
			continue
		}
		if len(e.changes) == 0 {
			t = copyTree(t)
		}
		ev = c.keepEvent(ev)
		e.add(key, old, ev)
		bytes += set(t, key, old, ev)
		revision = ev.Kv.ModRevision
	}
	if notice {
		revision = max(revision, resp.Header.Revision)
		defer c.noticed()
	}
	if revision == v.revision {
		return nil
	}
	if err := c.tooLarge(bytes); err != nil {
		return err
	}
	c.publish(func(next *view) {
		next.tree, next.bytes, next.revision = t, bytes, max(next.revision, revision)
		next.origin = originOf(resp.Header)
		if len(e.changes) > 0 {
			c.append(next, e)
		}
	})
	return nil
}

// overtaken reports whether an event of a revision that the copy has passed is missing in it.
func overtaken(ev *mvccpb.Event, old *mvccpb.KeyValue) bool {
	if old == nil {
		return ev.Type == mvccpb.Event_PUT
	}
	return old.ModRevision < ev.Kv.ModRevision
}

// set applies an event to a tree that had old, and returns by how many bytes it grew.
func set(t *tree, key string, old *mvccpb.KeyValue, ev *mvccpb.Event) int64 {
	if ev.Type == mvccpb.Event_DELETE {
		t.Delete(key)
		return -fill.Bytes(old)
	}
	t.Set(key, ev.Kv)
	return fill.Bytes(ev.Kv) - fill.Bytes(old)
}

// add adds to an entry that old became what an event says.
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
	e.size += changeOverhead + fill.Bytes(ch.Old) + fill.Bytes(ch.New)
}

// append makes an entry the newest of the log and of a view that is about to be published.
func (c *Cache) append(next *view, e *entry) {
	c.history.append(e)
	next.last = e
}

// keepEvent returns the event to keep for one of the watch: without its value, if the cache has
// keys only. Events are shared with other watches, so they are not changed.
func (c *Cache) keepEvent(ev *mvccpb.Event) *mvccpb.Event {
	if !c.opts.keysOnly || len(ev.Kv.Value) == 0 {
		return ev
	}
	kv := proto.CloneOf(ev.Kv)
	kv.Value = nil
	return &mvccpb.Event{Type: ev.Type, Kv: kv}
}

// finish publishes the state of the list, if it is whole.
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
	f.listed = revision
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
		next.lists++
		if !old.synced() {
			c.append(next, &entry{first: revision, last: revision, gap: true})
			return
		}
		if replaced {
			next.era++
			next.provenAt = time.Time{}
		}
		e := &entry{first: old.revision + 1, last: revision, gap: true, changes: changes}
		for _, ch := range changes {
			e.size += changeOverhead + fill.Bytes(ch.Old) + fill.Bytes(ch.New)
		}
		c.append(next, e)
	})
	return nil
}
