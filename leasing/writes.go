package leasing

import (
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// writes are the keys that an operation may change.
type writes struct {
	keys   []string   // each once, in order
	ranges []keyRange // of lease keys: none of them may exist
}

// writesOf collects the writes of an operation, those in both branches of a transaction.
func writesOf(p leasePrefix, op clientv3.Op) writes {
	var w writes
	w.collect(p, op)
	slices.Sort(w.keys)
	w.keys = slices.Compact(w.keys)
	return w
}

func (w *writes) isEmpty() bool { return len(w.keys) == 0 && len(w.ranges) == 0 }

// leaseKeys returns the lease keys that must not have another owner, by index: a single one for
// each of w.keys, followed by w.ranges.
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
		// Lease keys in the range must not be deleted while they have owners.
		w.addRange(overlap(r, p.all()))
	}
}

// addRange adds a range of lease keys, unless it is empty.
func (w *writes) addRange(r keyRange) {
	if r.end == endOfKeys || r.start < r.end {
		w.ranges = append(w.ranges, r)
	}
}
