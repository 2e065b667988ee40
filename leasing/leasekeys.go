package leasing

import (
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// rescindValue is what clients write to a lease key to ask its owner to give it up.
	rescindValue = "REVOKE"

	// endOfKeys is how the protocol writes a range without an upper bound.
	endOfKeys = "\x00"
)

// keyRange is a range of keys, up to but not including end.
type keyRange struct{ start, end string }

func (r keyRange) contains(key string) bool {
	return key >= r.start && (r.end == endOfKeys || key < r.end)
}

// contain reports whether a key is in one of the ranges.
func contain(ranges []keyRange, key string) bool {
	return slices.ContainsFunc(ranges, func(r keyRange) bool { return r.contains(key) })
}

// writes are the keys that an operation may change, as far as ownership matters.
type writes struct {
	keys   []string   // each at most once, in order
	ranges []keyRange // of lease keys: none of them may exist
}

// writesOf collects the writes of an op, those of both branches of a transaction.
func writesOf(prefix string, op clientv3.Op) writes {
	var w writes
	w.collect(prefix, op)
	slices.Sort(w.keys)
	w.keys = slices.Compact(w.keys)
	return w
}

// refusal is the error of an op that puts a key below the prefix, or deletes a key or a range
// there: a lease key must have the owner that its lease says. It is nil for other ops. A
// range that reaches beyond the prefix may be deleted, once all keys in it are given up.
func refusal(prefix string, op clientv3.Op) error {
	if op.IsTxn() {
		_, thenOps, elseOps := op.Txn()
		for _, op := range slices.Concat(thenOps, elseOps) {
			if err := refusal(prefix, op); err != nil {
				return err
			}
		}
		return nil
	}
	key, end := string(op.KeyBytes()), string(op.RangeBytes())
	reachesBeyond := end != "" && (end == endOfKeys || end > clientv3.GetPrefixRangeEnd(prefix))
	if op.IsGet() || !strings.HasPrefix(key, prefix) || reachesBeyond {
		return nil
	}
	return fmt.Errorf("leasing: write of %q: the keys with the prefix %q are the lease keys of this KV", key, prefix)
}

// leaseKeys returns the lease keys that are in the way of the i-th of w.keys followed by
// w.ranges: a single one, without an end, or a range.
func (w *writes) leaseKeys(prefix string, i int) keyRange {
	if i < len(w.keys) {
		return keyRange{start: prefix + w.keys[i]}
	}
	return w.ranges[i-len(w.keys)]
}

func (w *writes) none() bool { return len(w.keys) == 0 && len(w.ranges) == 0 }

func (w *writes) collect(prefix string, op clientv3.Op) {
	switch {
	case op.IsTxn():
		_, thenOps, elseOps := op.Txn()
		for _, op := range thenOps {
			w.collect(prefix, op)
		}
		for _, op := range elseOps {
			w.collect(prefix, op)
		}
	case op.IsPut():
		w.keys = append(w.keys, string(op.KeyBytes()))
	case op.IsDelete():
		r := keyRange{string(op.KeyBytes()), string(op.RangeBytes())}
		if r.end == "" {
			w.keys = append(w.keys, r.start)
			r.end = r.start + "\x00"
		} else {
			w.addRange(leaseKeys(prefix, r))
		}
		// Lease keys must not be deleted from under their owners.
		w.addRange(overlap(r, keyRange{prefix, clientv3.GetPrefixRangeEnd(prefix)}))
	}
}

func (w *writes) addRange(r keyRange) {
	if r.end == endOfKeys || r.start < r.end {
		w.ranges = append(w.ranges, r)
	}
}

// leaseKeys returns the range of the lease keys of a range of keys.
func leaseKeys(prefix string, r keyRange) keyRange {
	if r.end == endOfKeys {
		return keyRange{prefix + r.start, clientv3.GetPrefixRangeEnd(prefix)}
	}
	return keyRange{prefix + r.start, prefix + r.end}
}

// overlap returns what two ranges have in common; it may be empty.
func overlap(a, b keyRange) keyRange {
	r := keyRange{max(a.start, b.start), a.end}
	if a.end == endOfKeys || b.end != endOfKeys && b.end < a.end {
		r.end = b.end
	}
	return r
}

// isCacheable reports whether a get can be answered by what is kept of its key:
// the latest revision of a single key, whole or in part. Keys below the prefix are never kept.
func isCacheable(prefix string, op *clientv3.Op) bool {
	return !strings.HasPrefix(string(op.KeyBytes()), prefix) && len(op.KeyBytes()) > 0 &&
		len(op.RangeBytes()) == 0 && op.Rev() == 0 && op.IsSortOptionValid()
}

// isWorthOwning reports whether a cacheable get is one for which to take ownership.
func isWorthOwning(op *clientv3.Op) bool { return !op.IsSerializable() }
