package cache

import (
	"sort"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Change is a change of one key. Other readers share its pairs, which must not be changed.
type Change struct {
	Key string           // the key
	Old *mvccpb.KeyValue // what it was before; nil if it did not exist
	New *mvccpb.KeyValue // what it is; nil if it was deleted
}

// change is a Change with its revision, which the pairs of a deletion do not have.
type change struct {
	Change
	revision int64
}

// entry is one link of the log of changes. It has the changes of one response of the watch, which
// are those of one or more whole revisions, or the difference after a gap. Everything but next and
// dropped is immutable. A reader of the log keeps the last entry that it has read, and goes on to
// the next one from there.
type entry struct {
	first, last int64    // the revisions of its changes, from the oldest to the newest
	changes     []change // in the order of their revisions
	gap         bool     // the changes are a difference of states; what came between is unknown
	size        int64    // bytes that count against WithHistory
	era         int64    // of the views that have it; set when it is appended
	next        atomic.Pointer[entry]
	dropped     atomic.Bool // it left the history: next may be cut, and a reader there is behind
}

// following returns the entry after e, or nil if there is none. behind means that e has left the
// history: the reader has missed what came after e.
func (e *entry) following() (next *entry, behind bool) {
	if next := e.next.Load(); next != nil {
		return next, false
	}
	return nil, e.dropped.Load()
}

// history is the log of changes: the newest entries that fit into a number of bytes. The newest
// entry stays, however large it is. All methods are safe for concurrent use.
type history struct {
	limit int64

	mu      sync.Mutex
	entries []*entry // from the oldest to the newest
	bytes   int64    // the sizes of entries
	start   int      // entries[start:] come after the last gap
	oldest  int64    // every change of this revision or later is in entries[start:]
}

func newHistory(limit int64) *history {
	return &history{limit: limit}
}

// append adds e to the end of the log, and drops the oldest entries if the log takes more bytes
// than its limit. Unless e is a gap, its changes must be all those since the entry before.
func (h *history) append(e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case e.gap:
		h.oldest = e.last + 1
	case len(h.entries) == 0:
		h.oldest = e.first
	}
	if n := len(h.entries); n > 0 {
		h.entries[n-1].next.Store(e)
	}
	h.entries = append(h.entries, e)
	h.bytes += e.size
	if e.gap {
		h.start = len(h.entries)
	}
	for h.bytes > h.limit && len(h.entries) > 1 {
		h.dropOldest()
	}
}

// dropOldest removes the oldest entry and cuts its link, so that a reader that still holds it does
// not hold later ones. It sets dropped before it cuts the link, because a reader that finds no link
// looks at dropped.
func (h *history) dropOldest() {
	e := h.entries[0]
	h.entries[0] = nil
	h.entries = h.entries[1:]
	h.bytes -= e.size
	if h.start > 0 {
		h.start--
	} else {
		h.oldest = e.last + 1
	}
	e.dropped.Store(true)
	e.next.Store(nil)
}

// oldestRevision returns the revision from which on the log holds every change.
func (h *history) oldestRevision() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.oldest
}

// before returns an entry of the log that all changes of revision rev or later come after. Some
// older changes may come after it, too. It returns nil if the log is empty or does not reach back
// to rev.
func (h *history) before(rev int64) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev < h.oldest || len(h.entries) == 0 {
		return nil
	}
	later := h.start + sort.Search(len(h.entries)-h.start, func(i int) bool {
		return h.entries[h.start+i].last >= rev
	})
	if later > 0 {
		return h.entries[later-1]
	}
	e := &entry{first: h.oldest - 1, last: h.oldest - 1, era: h.entries[0].era}
	e.next.Store(h.entries[0])
	return e
}
