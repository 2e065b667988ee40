package leasing

import (
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// revokeValue is the value that clients write into a lease key to ask its owner to release the
	// key.
	revokeValue = "REVOKE"

	// endOfKeys is the end of a range that has no upper bound, as etcd's protocol defines it.
	endOfKeys = "\x00"
)

// keyRange is the range of the keys from start up to, but not including, end. If end is empty, the
// range holds only the key start.
type keyRange struct{ start, end string }

func (r keyRange) contains(key string) bool {
	return key >= r.start && (r.end == endOfKeys || key < r.end)
}

func contain(ranges []keyRange, key string) bool {
	return slices.ContainsFunc(ranges, func(r keyRange) bool { return r.contains(key) })
}

// overlap returns the range of the keys that are both in a and in b. The range may be empty.
func overlap(a, b keyRange) keyRange {
	r := keyRange{max(a.start, b.start), a.end}
	if a.end == endOfKeys || b.end != endOfKeys && b.end < a.end {
		r.end = b.end
	}
	return r
}

// leasePrefix is the prefix of all lease keys: the name of a key's lease key is this prefix
// followed by the key. It is not empty.
type leasePrefix string

func (p leasePrefix) of(key string) string { return string(p) + key }

func (p leasePrefix) all() keyRange {
	return keyRange{string(p), clientv3.GetPrefixRangeEnd(string(p))}
}

// ofRange returns the range that contains the lease key of each key in r.
func (p leasePrefix) ofRange(r keyRange) keyRange {
	if r.end == endOfKeys {
		return keyRange{p.of(r.start), p.all().end}
	}
	return keyRange{p.of(r.start), p.of(r.end)}
}

// refusal returns an error if op can write only lease keys. If op is a transaction, this applies to
// each operation in it. Programs must not write lease keys, because a lease key shows which client
// owns a key. refusal allows the delete of a range that has lease keys and other keys: the writer
// runs it when all keys in the range are released.
func (p leasePrefix) refusal(op clientv3.Op) error {
	if op.IsTxn() {
		_, thenOps, elseOps := op.Txn()
		for _, op := range slices.Concat(thenOps, elseOps) {
			if err := p.refusal(op); err != nil {
				return err
			}
		}
		return nil
	}
	key, end := string(op.KeyBytes()), string(op.RangeBytes())
	reachesBeyond := end != "" && (end == endOfKeys || end > p.all().end)
	if op.IsGet() || !strings.HasPrefix(key, string(p)) || reachesBeyond {
		return nil
	}
	return fmt.Errorf(
		"leasing: write of %q: the keys with the prefix %q are the lease keys of this KV", key, p)
}

// isCacheable reports whether a get is one that a cache can answer: it asks for the latest revision
// of a single key that is not a lease key.
func (p leasePrefix) isCacheable(op *clientv3.Op) bool {
	return !strings.HasPrefix(string(op.KeyBytes()), string(p)) && len(op.KeyBytes()) > 0 &&
		len(op.RangeBytes()) == 0 && op.Rev() == 0 && op.IsSortOptionValid()
}

// writes says what an operation may write: single keys, and the ranges that hold the lease keys of
// all other keys.
type writes struct {
	keys   []string   // sorted, without duplicates
	ranges []keyRange // ranges of lease keys; none of these lease keys may exist during the write
}

// writesOf returns what an operation may write. If the operation is a transaction, this includes
// the writes of both branches.
func writesOf(p leasePrefix, op clientv3.Op) writes {
	var w writes
	w.collect(p, op)
	slices.Sort(w.keys)
	w.keys = slices.Compact(w.keys)
	return w
}

func (w *writes) isEmpty() bool { return len(w.keys) == 0 && len(w.ranges) == 0 }

// leaseKeys returns the lease key of each key in w.keys, followed by the ranges in w.ranges. A
// write is applied only if no other client has put any of these lease keys. Otherwise part i of the
// response holds the lease keys that exist in range i.
func (w *writes) leaseKeys(p leasePrefix) []keyRange {
	ranges := make([]keyRange, 0, len(w.keys)+len(w.ranges))
	for _, key := range w.keys {
		ranges = append(ranges, keyRange{start: p.of(key)})
	}
	return append(ranges, w.ranges...)
}

func (w *writes) collect(p leasePrefix, op clientv3.Op) {
	switch {
	case op.IsTxn():
		_, thenOps, elseOps := op.Txn()
		for _, op := range slices.Concat(thenOps, elseOps) {
			w.collect(p, op)
		}
	case op.IsPut():
		w.keys = append(w.keys, string(op.KeyBytes()))
	case op.IsDelete():
		r := keyRange{string(op.KeyBytes()), string(op.RangeBytes())}
		if r.end == "" {
			w.keys = append(w.keys, r.start)
			r.end = r.start + "\x00"
		} else {
			w.addRange(p.ofRange(r))
		}
		// The range of the delete may contain lease keys. A lease key that exists has an owner, so
		// the delete must wait until the lease key is gone.
		w.addRange(overlap(r, p.all()))
	}
}

// addRange adds a range of lease keys, unless it is empty.
func (w *writes) addRange(r keyRange) {
	if r.end == endOfKeys || r.start < r.end {
		w.ranges = append(w.ranges, r)
	}
}
