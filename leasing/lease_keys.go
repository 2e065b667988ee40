package leasing

import (
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// revokeValue is what clients write to a lease key to ask its owner to release it.
	revokeValue = "REVOKE"

	// endOfKeys is the end of a range without an upper bound, in the protocol.
	endOfKeys = "\x00"
)

// keyRange is a range of keys, up to but not including end. The end is empty for a single key.
type keyRange struct{ start, end string }

func (r keyRange) contains(key string) bool {
	return key >= r.start && (r.end == endOfKeys || key < r.end)
}

// contain reports whether a key is in one of the ranges.
func contain(ranges []keyRange, key string) bool {
	return slices.ContainsFunc(ranges, func(r keyRange) bool { return r.contains(key) })
}

// overlap returns what two ranges have in common; it may be empty.
func overlap(a, b keyRange) keyRange {
	r := keyRange{max(a.start, b.start), a.end}
	if a.end == endOfKeys || b.end != endOfKeys && b.end < a.end {
		r.end = b.end
	}
	return r
}

// leasePrefix is the prefix of all lease keys. It is not empty.
type leasePrefix string

// of returns the lease key of a key.
func (p leasePrefix) of(key string) string { return string(p) + key }

// all returns the range of all lease keys.
func (p leasePrefix) all() keyRange {
	return keyRange{string(p), clientv3.GetPrefixRangeEnd(string(p))}
}

// ofRange returns the range of the lease keys of a range of keys.
func (p leasePrefix) ofRange(r keyRange) keyRange {
	if r.end == endOfKeys {
		return keyRange{p.of(r.start), p.all().end}
	}
	return keyRange{p.of(r.start), p.of(r.end)}
}

// refusal returns the error for an operation that puts or deletes lease keys only: a lease key must
// have the owner that its lease says. It returns nil for other operations. A range that reaches
// beyond the prefix may be deleted, once all keys in it are released.
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

// isCacheable reports whether a get can be answered from the cache, if its key is cached: it asks
// for the latest revision of a single key that is no lease key.
func (p leasePrefix) isCacheable(op *clientv3.Op) bool {
	return !strings.HasPrefix(string(op.KeyBytes()), string(p)) && len(op.KeyBytes()) > 0 &&
		len(op.RangeBytes()) == 0 && op.Rev() == 0 && op.IsSortOptionValid()
}
