// Package fill builds the state of a range of keys from pages and events. The pages were read at
// different revisions. The events come from a watch that was open before the first page was read.
// The package is pure data: calls in, a tree of keys out.
//
// A page has a watermark: the revision L that it was read at. The page has all keys from the end of
// the previous page to its own end, as they were at L. So it contains all events up to L, and a
// later event is applied to it. If the page of a key has not arrived yet, the newest event of the
// key is kept aside. When the page arrives, that event is applied if it is newer than the page.
//
// The state is whole when all pages have arrived and the watch has delivered all events up to the
// greatest L. Every key is then as it was at the revision that the watch has reached.
//
// Invariants:
//
//   - Pages arrive in the order of their keys, and cover the range without gaps.
//   - The server has confirmed the watch at some revision, and the watch delivers every event after
//     that revision. A page of a lower revision is refused, because events between the page and the
//     confirmation would be missing.
//   - Pages need not have the same revision. So if the revision of the first pages is compacted,
//     they stay valid, and the other pages are read at a newer revision.
package fill

import (
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/cache/internal/keytree"
)

// Fill is the state of a range that is being built from pages and events. It is not safe for
// concurrent use.
type Fill struct {
	least    int64  // no page may have a lower revision
	passed   int64  // the watch has delivered all events up to this revision
	greatest int64  // the greatest revision of a page so far
	next     string // the first key of the next page to read
	complete bool   // all pages have been added
	pages    []page // the pages that have been added, in the order of their keys
	tree     keytree.Tree
	bytes    int64                    // the total length of the keys and values in tree
	aside    map[string]*mvccpb.Event // the newest event of each key whose page is still missing
	keys     keytree.Tree             // the keys in the map called aside, in order
}

// page is a part of the range that was read at one revision. Successive answers at the same
// revision are joined to one page.
type page struct {
	end       string // the first key after the page; empty if the page ends the range
	watermark int64  // the revision that the page was read at
}

// New returns a Fill without pages, for a range that begins with the key from. The server has
// confirmed the watch of the range at the revision confirmed. The Fill refuses a page whose
// revision is lower than least or confirmed.
func New(from string, confirmed, least int64) *Fill {
	return &Fill{
		least: max(confirmed, least), passed: confirmed, next: from,
		aside: map[string]*mvccpb.Event{},
	}
}

// Next returns the first key of the next page to read. ok is false if all pages have been added.
func (f *Fill) Next() (from string, ok bool) { return f.next, !f.complete }

// Least returns the lowest revision that a page may have.
func (f *Fill) Least() int64 { return f.least }

// Size returns how many keys the unfinished state has, and the total length of these keys and their
// values.
func (f *Fill) Size() (keys int, bytes int64) { return f.tree.Len(), f.bytes }

// Page adds the next page, which was read at the given revision. kvs are its pairs, in order. The
// page begins at the key that Next returns. If more is true, the range has more keys after the last
// pair. Page keeps kvs and its pairs without copying them.
//
// Page refuses the page and returns false if all pages have been added, or if the revision is lower
// than Least. In the second case the page must be read again.
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

// takeAside is called when a page was added. It applies the events that came before the page, for
// keys of the page.
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

// Event adds an event of the watch. Events must be added in the order of their revisions.
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

// Pass records that the watch has delivered all events up to the given revision.
func (f *Fill) Pass(revision int64) { f.passed = max(f.passed, revision) }

// Passed returns the revision up to which the watch has delivered all events.
func (f *Fill) Passed() int64 { return f.passed }

// Wants returns the revision that the watch must reach before the state is whole. ok is false if
// the state is whole, or if pages are missing.
func (f *Fill) Wants() (revision int64, ok bool) {
	return f.greatest, f.complete && f.passed < f.greatest
}

// Prove is for servers that do not say how far the watch is. The caller has read the range at the
// given revision, and passes what it has found:
//
//   - count is the number of keys.
//   - newer has all pairs that were modified after some revision r. They need no values. The state
//     must have every change up to r.
//
// Prove checks whether the state has exactly count keys, and has each pair of newer with its mod
// revision. If so, the state equals the range at the given revision: all other keys have not
// changed since r, and the count shows that none of them was deleted. Prove then acts as if the
// watch had delivered all events up to that revision.
func (f *Fill) Prove(newer []*mvccpb.KeyValue, count, revision int64) {
	if f.complete && revision >= f.greatest && Unchanged(f.tree, newer, count) {
		f.Pass(revision)
	}
}

// Unchanged reports whether the tree t has exactly count keys, and has each pair of the list newer
// with the mod revision that the list says.
func Unchanged(t keytree.Tree, newer []*mvccpb.KeyValue, count int64) bool {
	for _, kv := range newer {
		if own := t.Get(keytree.Key(kv.Key)); own == nil || own.ModRevision != kv.ModRevision {
			return false
		}
	}
	return int64(t.Len()) == count
}

// Whole returns the state of the range as a tree, the total length of its keys and values, and its
// revision. ok is true if all pages have been added, and the watch has delivered all events up to
// the greatest revision of a page.
func (f *Fill) Whole() (tree keytree.Tree, bytes, revision int64, ok bool) {
	if !f.complete || f.passed < f.greatest {
		return keytree.Tree{}, 0, 0, false
	}
	return f.tree, f.bytes, f.passed, true
}

// Bytes returns the length of a pair's key and value together. For nil it returns 0.
func Bytes(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return int64(len(kv.Key) + len(kv.Value))
}
