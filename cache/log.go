package cache

import (
	"sort"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Change is a change of one key. The key-value pairs Old and New are shared with other readers and
// must not be changed.
type Change struct {
	Key string           // the key that changed
	Old *mvccpb.KeyValue // the pair before the change; nil if the key did not exist
	New *mvccpb.KeyValue // the pair after the change; nil if the key was deleted
}

// change is a Change with its revision. The revision is a field of its own, because a deletion has
// no pair whose ModRevision would say it.
type change struct {
	Change
	revision int64
}

// entry is one link of the log of changes, which is a linked list. It has the changes of one
// response of the watch. The changes of one revision are never split over two entries. If the watch
// has missed changes, the next entry is a gap: the difference between the state before them and the
// state that was read after them.
//
// All fields except next and dropped are immutable. A reader of the log keeps the last entry that
// it has read. The field next of that entry leads to newer entries.
type entry struct {
	// first and last are the lowest and the highest revision of the changes. In a gap, first is the
	// first revision that may be missing. last is then the revision of the state that was read
	// afterwards.
	first, last int64
	changes     []change // in the order of their revisions
	// gap says that the changes are the difference between two states of the range. What happened
	// between these states is unknown.
	gap  bool
	size int64 // the bytes of the entry, which count against the limit set by WithHistory
	// era is the era of the view that the entry was appended with: how often the copy had been
	// replaced by then (see view.era). Cache.append sets it.
	era  int64
	next atomic.Pointer[entry]
	// dropped says that the entry was removed from the history. Then next may be nil although there
	// are later entries, so a reader that holds the entry may have missed changes.
	dropped atomic.Bool
}

// following returns the entry after e, or nil if there is none. If behind is true, e was dropped
// from the history, and its link to the next entry is gone. The reader has then missed what came
// after e.
func (e *entry) following() (next *entry, behind bool) {
	if next := e.next.Load(); next != nil {
		return next, false
	}
	return nil, e.dropped.Load()
}

// history is the log of changes. It keeps the newest entries, up to limit bytes in total. The
// newest entry is kept even if it is larger than that. All methods are safe for concurrent use.
type history struct {
	limit int64

	mu      sync.Mutex
	entries []*entry // the entries of the log, from the oldest to the newest
	bytes   int64    // the sum of the sizes of entries
	// entries[start:] are the entries after the last gap: the last entry that was made after the
	// watch had missed changes.
	start  int
	oldest int64 // every change at this revision or later is in entries[start:]
}

func newHistory(limit int64) *history {
	return &history{limit: limit}
}

// append adds e to the end of the log. Then it drops the oldest entries as long as the log takes
// more bytes than its limit. An e with gap set has only the difference between two states, because
// changes were missed. Any other e must have all changes since the previous entry.
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

// dropOldest removes the oldest entry and cuts its link to the next one. So a reader that still
// holds the entry does not keep later entries in memory. When this reader finds no link, it looks
// at dropped. So dropped is set before the link is cut.
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

// before returns an entry of the log that comes before all changes at revision rev or later. Some
// older changes may come after that entry, too. before returns nil if the log is empty or no longer
// has all changes from rev on.
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
