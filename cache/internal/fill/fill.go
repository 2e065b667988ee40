// Package fill builds the state of a range from pages that were read at different revisions and
// from the events of a watch that was open before the first page was read. It is pure data: calls
// in, a tree out.
//
// A page has a watermark, the revision L that it was read at. It is the state at L of the keys from
// where the page before ended to where it ends itself. An event of revision r counts for a key of a
// page if r > L, because the page has all earlier ones. The newest event of a key whose page is
// still to come is kept aside, and is treated in that way when the page arrives. So when all pages
// are there and the watch has passed the greatest L, every key is as it was at the revision that
// the watch has passed.
//
// Invariants:
//
//   - Pages arrive in the order of their keys, and cover the range without gaps.
//   - The watch delivers every event after the revision of its confirmation, so a page below that
//     revision is refused: events between L and the confirmation would be missing.
//   - A page may be of any revision from there on. So a page that is there stays, whatever is
//     compacted or lost afterwards.
package fill

import (
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Fill is a state that is being built. It is not safe for concurrent use.
type Fill struct {
	least    int64  // the least revision that a page may have
	passed   int64  // the watch has delivered all events up to this revision
	greatest int64  // the greatest watermark
	next     string // the first key of the page to read next
	complete bool   // all pages are read
	pages    []page // those that are read, in order
	tree     keytree.Tree
	bytes    int64                    // of the keys and values in tree
	aside    map[string]*mvccpb.Event // the newest event of each key from next on
	keys     keytree.Tree             // the keys of aside, in order
}

// page is a part of the range, as it was at one revision. It was read by one answer, or by several
// that followed each other at the same revision.
type page struct {
	end       string // the first key behind the page
	watermark int64
}

// New returns an empty state of a range that begins with the key from. The watch was confirmed at
// the revision confirmed. A page below the revision least, or below confirmed, is refused.
func New(from string, confirmed, least int64) *Fill {
	return &Fill{
		least: max(confirmed, least), passed: confirmed, next: from,
		aside: map[string]*mvccpb.Event{},
	}
}

// Next returns the first key of the page to read next, and false if all pages are read.
func (f *Fill) Next() (from string, ok bool) { return f.next, !f.complete }

// Least returns the least revision that a page may have.
func (f *Fill) Least() int64 { return f.least }

// Size returns how many keys the state has so far, and the bytes of their keys and values.
func (f *Fill) Size() (keys int, bytes int64) { return f.tree.Len(), f.bytes }

// Page adds the next page: the pairs from Next on at the given revision, in order, and whether more
// follow behind the last one. It reports whether the page was accepted; one that is too old must be
// read again. The pairs are kept, not copied.
func (f *Fill) Page(kvs []*mvccpb.KeyValue, revision int64, more bool) bool {
	if f.complete || revision < f.least {
		return false
	}
	f.tree = f.tree.Append(kvs)
	for _, kv := range kvs {
		f.bytes += Bytes(kv)
	}
	end := ""
	if more && len(kvs) > 0 {
		end = string(kvs[len(kvs)-1].Key) + "\x00"
	}
	if n := len(f.pages); n > 0 && f.pages[n-1].watermark == revision {
		f.pages[n-1].end = end
	} else {
		f.pages = append(f.pages, page{end: end, watermark: revision})
	}
	f.greatest = max(f.greatest, revision)
	f.next, f.complete = end, end == ""
	f.takeAside()
	return true
}

// takeAside applies the events that were kept aside for the page that was added last.
func (f *Fill) takeAside() {
	last, n := f.pages[len(f.pages)-1], f.keys.Len()
	if !f.complete {
		n = f.keys.Rank(last.end)
	}
	for _, kv := range f.keys.Slice(0, n) {
		key := keytree.Key(kv.Key)
		f.apply(key, f.aside[key], last.watermark)
		f.keys = f.keys.Delete(key)
		delete(f.aside, key)
	}
}

// Event adds an event of the watch. Events arrive in the order of their revisions.
func (f *Fill) Event(ev *mvccpb.Event) {
	key := keytree.Key(ev.Kv.Key)
	if !f.complete && key >= f.next {
		f.keys = f.keys.Set(ev.Kv)
		f.aside[key] = ev
		return
	}
	i := sort.Search(len(f.pages), func(i int) bool {
		return f.pages[i].end == "" || key < f.pages[i].end
	})
	f.apply(key, ev, f.pages[i].watermark)
}

func (f *Fill) apply(key string, ev *mvccpb.Event, watermark int64) {
	if ev.Kv.ModRevision <= watermark {
		return
	}
	f.bytes -= Bytes(f.tree.Get(key))
	if ev.Type == mvccpb.Event_DELETE {
		f.tree = f.tree.Delete(key)
		return
	}
	f.tree = f.tree.Set(ev.Kv)
	f.bytes += Bytes(ev.Kv)
}

// Pass says that the watch has delivered all events up to revision.
func (f *Fill) Pass(revision int64) { f.passed = max(f.passed, revision) }

// Passed returns the revision up to which the watch has delivered all events.
func (f *Fill) Passed() int64 { return f.passed }

// Wants returns the revision that the watch must pass before the state is whole, and false if the
// state is whole or pages are missing.
func (f *Fill) Wants() (revision int64, ok bool) {
	return f.greatest, f.complete && f.passed < f.greatest
}

// Certain returns the revision up to which the state has all changes of all keys. It is for Prove.
func (f *Fill) Certain() int64 {
	least := f.greatest
	for _, p := range f.pages {
		least = min(least, p.watermark)
	}
	return max(least, f.passed)
}

// Prove takes the answer of one read of the whole range at the given revision, for servers that do
// not say how far the watch is: the pairs with a mod revision above Certain, their values aside,
// and the count of all keys. If the state has these pairs at these mod revisions and as many keys,
// it is the state at that revision, because each key of the range is then in it as it should be,
// and no other. Prove then has the watch count as having passed the revision.
func (f *Fill) Prove(newer []*mvccpb.KeyValue, count, revision int64) {
	if f.complete && revision >= f.greatest && Unchanged(f.tree, newer, count) {
		f.Pass(revision)
	}
}

// Unchanged reports whether a tree has all the given pairs, at their mod revisions, and as many
// keys as count says.
func Unchanged(t keytree.Tree, newer []*mvccpb.KeyValue, count int64) bool {
	for _, kv := range newer {
		if own := t.Get(keytree.Key(kv.Key)); own == nil || own.ModRevision != kv.ModRevision {
			return false
		}
	}
	return int64(t.Len()) == count
}

// Whole returns the state and its revision, and false if pages are missing or the watch has not
// passed all of their watermarks.
func (f *Fill) Whole() (tree keytree.Tree, bytes, revision int64, ok bool) {
	if !f.complete || f.passed < f.greatest {
		return keytree.Tree{}, 0, 0, false
	}
	return f.tree, f.bytes, f.passed, true
}

// Bytes returns the bytes of a pair's key and value; of nil it is 0.
func Bytes(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return int64(len(kv.Key) + len(kv.Value))
}
