package etcdfake

import (
	"bytes"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

type keyValue = mvccpb.KeyValue

// store is a small multi-version map. Key-values and events are never modified once they are in it.
// The mutex of the state it belongs to guards it.
type store struct {
	rev       int64
	compacted int64                  // -1 before the first compaction
	keys      []string               // of hist, sorted
	hist      map[string][]*keyValue // oldest first; version 0 marks a deletion
	events    []*mvccpb.Event        // oldest first, from the compacted revision on
}

// writeTx is one write transaction: all that it writes has one revision.
type writeTx struct {
	rev    int64
	events []*mvccpb.Event
}

func (s *store) begin() *writeTx { return &writeTx{rev: s.rev + 1} }

// seen is the revision as the transaction sees it: the old one until it has written.
func (tx *writeTx) seen() int64 {
	if len(tx.events) == 0 {
		return tx.rev - 1
	}
	return tx.rev
}

// header is that of the answer to one operation of the transaction.
func (tx *writeTx) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: tx.seen()} }

func (s *store) commit(tx *writeTx) {
	s.rev = tx.rev
	s.events = append(s.events, tx.events...)
}

// get returns the key as it was at a revision, nil when it did not exist; revision 0 is now, with
// an open transaction's writes.
func (s *store) get(key string, rev int64) *keyValue {
	hist := s.hist[key]
	n := len(hist)
	if rev > 0 {
		n = sort.Search(n, func(i int) bool { return hist[i].ModRevision > rev })
	}
	if n == 0 || hist[n-1].Version == 0 {
		return nil
	}
	return hist[n-1]
}

// find returns the keys of an interval as they were at a revision, in key order.
func (s *store) find(key, end []byte, rev int64) []*keyValue {
	if len(end) == 0 {
		if kv := s.get(string(key), rev); kv != nil {
			return []*keyValue{kv}
		}
		return nil
	}
	var kvs []*keyValue
	for i := sort.SearchStrings(s.keys, string(key)); i < len(s.keys) &&
		inRange([]byte(s.keys[i]), key, end); i++ {
		if kv := s.get(s.keys[i], rev); kv != nil {
			kvs = append(kvs, kv)
		}
	}
	return kvs
}

// inRange tells whether k is in [key, end): end empty means key alone, end "\x00" all keys from key
// on.
func inRange(k, key, end []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(k, key)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(k, key) >= 0
	default:
		return bytes.Compare(k, key) >= 0 && bytes.Compare(k, end) < 0
	}
}

// put writes a key; prev is what get returns for it.
func (s *store) put(tx *writeTx, prev *keyValue, key, value []byte, leaseID int64) {
	kv := &keyValue{
		Key:            bytes.Clone(key),
		Value:          bytes.Clone(value),
		Lease:          leaseID,
		CreateRevision: tx.rev,
		ModRevision:    tx.rev,
		Version:        1,
	}
	if prev != nil {
		kv.CreateRevision, kv.Version = prev.CreateRevision, prev.Version+1
	}
	s.add(kv)
	tx.events = append(tx.events, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv})
}

// del deletes the keys of an interval and returns what they were.
func (s *store) del(tx *writeTx, key, end []byte) []*keyValue {
	deleted := s.find(key, end, 0)
	for _, prev := range deleted {
		tomb := &keyValue{Key: prev.Key, ModRevision: tx.rev}
		s.add(tomb)
		tx.events = append(tx.events, &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: tomb})
	}
	return deleted
}

func (s *store) add(kv *keyValue) {
	key := string(kv.Key)
	if _, ok := s.hist[key]; !ok {
		i := sort.SearchStrings(s.keys, key)
		s.keys = slices.Insert(s.keys, i, key)
	}
	s.hist[key] = append(s.hist[key], kv)
}

// check refuses revisions that cannot be read.
func (s *store) check(rev int64) error {
	switch {
	case rev > s.rev:
		return rpctypes.ErrGRPCFutureRev
	case rev > 0 && rev < s.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

// compact forgets what was superseded at rev.
func (s *store) compact(rev int64) error {
	switch {
	case rev > s.rev:
		return rpctypes.ErrGRPCFutureRev
	case rev <= s.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	s.compacted = rev
	s.events = slices.Clone(s.eventsFrom(rev))
	s.keys = slices.DeleteFunc(s.keys, func(key string) bool {
		hist := s.hist[key]
		n := sort.Search(len(hist), func(i int) bool { return hist[i].ModRevision > rev })
		if n > 0 && hist[n-1].Version > 0 {
			n-- // still the key's value at rev
		}
		if n == len(hist) {
			delete(s.hist, key)
			return true
		}
		s.hist[key] = slices.Clone(hist[n:])
		return false
	})
	return nil
}

// eventsFrom returns the events from a revision on.
func (s *store) eventsFrom(rev int64) []*mvccpb.Event {
	i := sort.Search(len(s.events), func(i int) bool { return s.events[i].Kv.ModRevision >= rev })
	return s.events[i:]
}

// keyOnly is a copy of kv without value and, as etcd reads it from its index alone, without lease.
func keyOnly(kv *keyValue) *keyValue {
	return &keyValue{Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision,
		Version: kv.Version}
}
