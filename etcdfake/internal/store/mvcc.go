package store

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// entry is one change of one key. It is never modified.
type entry struct {
	main, sub int64 // the revision, and the index of the change within this revision
	at        time.Time
	deleted   bool
	kv        *mvccpb.KeyValue // a deletion has only Key and ModRevision
}

// history holds the changes of one key that compaction has not removed, oldest first.
type history struct {
	name    string
	entries []*entry
}

// keyspace holds the current values of all keys, and all earlier values that compaction has not
// removed.
type keyspace struct {
	rev       int64
	compacted int64      // the compacted revision; -1 before the first compaction
	log       []*entry   // all changes that compaction has not removed, oldest first
	keys      []*history // sorted by name
}

func newKeyspace() keyspace { return keyspace{rev: 1, compacted: -1} }

// search looks for a key in the sorted keys. It returns the index of the key and true. If the key
// is not there, it returns the index at which to insert the key, and false.
func (k *keyspace) search(name []byte) (int, bool) {
	i := sort.Search(len(k.keys), func(i int) bool { return k.keys[i].name >= string(name) })
	return i, i < len(k.keys) && k.keys[i].name == string(name)
}

// at returns the entry with the key's value at a revision, or nil if the key did not exist then.
func (h *history) at(rev int64) *entry {
	n := sort.Search(len(h.entries), func(i int) bool { return h.entries[i].main > rev })
	if n == 0 || h.entries[n-1].deleted {
		return nil
	}
	return h.entries[n-1]
}

func (k *keyspace) get(key []byte, rev int64) *mvccpb.KeyValue {
	i, ok := k.search(key)
	if !ok {
		return nil
	}
	if e := k.keys[i].at(rev); e != nil {
		return e.kv
	}
	return nil
}

// find returns the keys from key to end as they were at a revision, sorted by key. The end itself
// is not included. If end is empty, the interval holds only key. If end is "\x00", the interval has
// no upper bound.
func (k *keyspace) find(key, end []byte, rev int64) []*mvccpb.KeyValue {
	if len(end) == 0 {
		if kv := k.get(key, rev); kv != nil {
			return []*mvccpb.KeyValue{kv}
		}
		return nil
	}
	var kvs []*mvccpb.KeyValue
	i, _ := k.search(key)
	for ; i < len(k.keys) && before([]byte(k.keys[i].name), end); i++ {
		if e := k.keys[i].at(rev); e != nil {
			kvs = append(kvs, e.kv)
		}
	}
	return kvs
}

// before reports whether a key is below the end of an interval. The end "\x00" is above all keys.
func before(key, end []byte) bool { return openEnd(end) || bytes.Compare(key, end) < 0 }

func openEnd(end []byte) bool { return len(end) == 1 && end[0] == 0 }

// within reports whether a key is in the interval from start to end. The end itself is not
// included. If end is empty, the interval holds only start. If end is "\x00", the interval has no
// upper bound.
func within(key, start, end []byte) bool {
	if len(end) == 0 {
		return bytes.Equal(key, start)
	}
	return bytes.Compare(key, start) >= 0 && before(key, end)
}

// add appends a change to the log and to the key's history.
func (k *keyspace) add(e *entry) {
	k.log = append(k.log, e)
	i, ok := k.search(e.kv.Key)
	if !ok {
		k.keys = slices.Insert(k.keys, i, &history{name: string(e.kv.Key)})
	}
	k.keys[i].entries = append(k.keys[i].entries, e)
}

// since returns the changes at the revision rev and at later revisions, oldest first.
func (k *keyspace) since(rev int64) []*entry {
	i := sort.Search(len(k.log), func(i int) bool { return k.log[i].main >= rev })
	return k.log[i:]
}

// compact removes the changes that no read at rev or later needs. These are each deletion before
// rev, and each change that has a newer one at or before rev. A deletion at rev itself stays,
// because a watch from rev must see it.
//
// Errors: ErrGRPCCompacted if rev is compacted already, ErrGRPCFutureRev if rev is above the newest
// revision.
func (k *keyspace) compact(rev int64) error {
	switch {
	case rev <= k.compacted:
		return rpctypes.ErrGRPCCompacted
	case rev > k.rev:
		return rpctypes.ErrGRPCFutureRev
	}
	k.compacted = rev
	kept := make(map[*entry]bool)
	k.keys = slices.DeleteFunc(k.keys, func(h *history) bool {
		h.entries = slices.Clone(h.entries[h.firstKept(rev):])
		for _, e := range h.entries {
			kept[e] = true
		}
		return len(h.entries) == 0
	})
	k.log = slices.DeleteFunc(k.log, func(e *entry) bool { return !kept[e] })
	return nil
}

// firstKept returns the index of the first entry that stays after a compaction at rev.
func (h *history) firstKept(rev int64) int {
	n := sort.Search(len(h.entries), func(i int) bool { return h.entries[i].main > rev })
	if n > 0 && (!h.entries[n-1].deleted || h.entries[n-1].main == rev) {
		n--
	}
	return n
}

// revisionAt returns the newest revision that was committed at the time t or before t. It returns
// at least the compacted revision.
func (k *keyspace) revisionAt(t time.Time) int64 {
	i := sort.Search(len(k.log), func(i int) bool { return k.log[i].at.After(t) })
	if i == len(k.log) {
		return k.rev
	}
	return max(k.log[i].main-1, k.compacted, 1)
}
