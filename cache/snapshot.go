package cache

import (
	"iter"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Snapshot is the exact state of the range at one revision. It never changes, costs nothing to
// copy, and stays valid after the cache was closed. Its key-value pairs are shared with other
// readers and must not be changed. All methods are safe for concurrent use. The zero Snapshot is
// empty.
type Snapshot struct{ view *view }

// Revision returns the revision of the snapshot. It is 0 if the snapshot is empty because the range
// has not been read yet.
func (s Snapshot) Revision() int64 {
	if s.view == nil {
		return 0
	}
	return s.view.revision
}

// ProvenAt returns a moment such that every write acknowledged before it is in the snapshot. Only a
// linearizable read, which Cache.Fresh sends, shows such a moment. Before the first such read is
// answered, ProvenAt returns the zero time.
//
// The cache may also find that its copy is wrong, or that the cluster was replaced or restored.
// Then ProvenAt returns the zero time until the range has been read again and another such read is
// answered.
func (s Snapshot) ProvenAt() time.Time {
	if s.view == nil {
		return time.Time{}
	}
	return s.view.provenAt
}

// Len returns the number of keys.
func (s Snapshot) Len() int {
	if s.view == nil {
		return 0
	}
	return s.view.tree.Len()
}

// Get returns the key-value pair of a key, and whether the key exists. It takes no lock and
// allocates nothing.
func (s Snapshot) Get(key string) (*mvccpb.KeyValue, bool) {
	if s.view == nil {
		return nil, false
	}
	kv := s.view.tree.Get(key)
	return kv, kv != nil
}

// All returns all key-value pairs in the order of their keys.
func (s Snapshot) All() iter.Seq[*mvccpb.KeyValue] { return s.Range("", "\x00") }

// Prefix returns the key-value pairs whose keys begin with p, in the order of their keys.
func (s Snapshot) Prefix(p string) iter.Seq[*mvccpb.KeyValue] {
	if p == "" {
		return s.All()
	}
	return s.Range(p, clientv3.GetPrefixRangeEnd(p))
}

// Range returns the key-value pairs with a key k such that from <= k < to, in the order of their
// keys. As in etcd, if to is "\x00", there is no upper end.
func (s Snapshot) Range(from, to string) iter.Seq[*mvccpb.KeyValue] {
	if s.view == nil {
		return func(func(*mvccpb.KeyValue) bool) {}
	}
	return s.view.tree.Range(from, to)
}
