package store

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// keyHash is a hash of the changes in a keyspace. The field at is the newest revision that is part
// of the hash. The field compacted is the compacted revision when the hash was computed.
type keyHash struct {
	hash          uint32
	compacted, at int64
}

// storedHashes is how many hashes etcd remembers from past compactions. At each compaction etcd
// computes a hash of the keyspace.
const storedHashes = 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bucketKey returns the key under which etcd stores a change in its database file.
func (e *entry) bucketKey() []byte {
	key := make([]byte, 0, 18)
	key = binary.BigEndian.AppendUint64(key, uint64(e.main))
	key = append(key, '_')
	key = binary.BigEndian.AppendUint64(key, uint64(e.sub))
	if e.deleted {
		key = append(key, 't')
	}
	return key
}

// stored returns the value that etcd stores for a change in its database file.
func (e *entry) stored() []byte {
	kv := e.kv
	if e.deleted {
		kv = &mvccpb.KeyValue{Key: kv.Key}
	}
	// Marshal cannot fail for a KeyValue.
	value, _ := proto.MarshalOptions{Deterministic: true}.Marshal(kv)
	return value
}

// hash returns the hash of the changes up to the revision rev. If the set kept is not empty, hash
// leaves out the changes up to the revision compacted that are not in the set. It always leaves out
// a deletion at exactly this revision, because older etcd servers remove such a deletion when they
// compact.
func (k *keyspace) hash(compacted, rev int64, kept map[*entry]bool) keyHash {
	sum := crc32.Update(0, castagnoli, []byte("key"))
	for _, e := range k.log {
		if e.main > rev || e.main <= compacted && len(kept) > 0 && !kept[e] ||
			e.main == compacted && e.deleted {
			continue
		}
		sum = crc32.Update(sum, castagnoli, e.bucketKey())
		sum = crc32.Update(sum, castagnoli, e.stored())
	}
	return keyHash{hash: sum, compacted: compacted, at: rev}
}

// hashCompaction returns the hash that etcd computes when it compacts at rev. It must be called
// before the keyspace is compacted at rev.
func (k *keyspace) hashCompaction(rev int64) keyHash {
	return k.hash(k.compacted, rev, k.kept(rev, true))
}

// kept returns the entries that are in etcd's hash after a compaction at rev. These are at most one
// entry for each key: its newest one up to rev. If deletions is false, entries that delete a key
// are left out.
func (k *keyspace) kept(rev int64, deletions bool) map[*entry]bool {
	kept := make(map[*entry]bool)
	for _, h := range k.keys {
		if e := h.kept(rev); e != nil && (deletions || !e.deleted) {
			kept[e] = true
		}
	}
	return kept
}

// kept returns the newest entry of the key up to rev, or nil if the key did not exist at rev. If
// the key was deleted at rev itself, kept returns the deletion, even if the same transaction has
// put the key again.
func (h *history) kept(rev int64) *entry {
	var newest *entry
	for _, e := range h.entries {
		if e.main <= rev {
			newest = e
		}
		switch {
		case e.deleted && e.main >= rev:
			return newest
		case e.deleted:
			newest = nil
		}
	}
	return newest
}

func (s *Store) storeHash(h keyHash) {
	s.hashes = append(s.hashes, h)
	if len(s.hashes) > storedHashes {
		s.hashes = s.hashes[1:]
	}
}

func (s *Store) callHashKV(c Caller, req *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	h, err := s.hashAt(req.Revision)
	if err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{Header: s.header(c), Hash: h.hash, CompactRevision: h.compacted,
		HashRevision: h.at}, nil
}

func (s *Store) hashAt(rev int64) (keyHash, error) {
	if i := slices.IndexFunc(s.hashes, func(h keyHash) bool { return h.at == rev }); i >= 0 {
		return s.hashes[i], nil
	}
	switch {
	case rev > 0 && rev < s.kv.compacted:
		return keyHash{}, rpctypes.ErrGRPCCompacted
	case rev > 0 && rev > s.kv.rev:
		return keyHash{}, rpctypes.ErrGRPCFutureRev
	case rev == 0:
		rev = s.kv.rev
	}
	return s.kv.hash(s.kv.compacted, rev, s.kv.kept(rev, false)), nil
}

// callHash answers with a hash of the keys and their values. All members answer with the same hash.
// In etcd the hashes of two members differ, because a member hashes its whole database file.
func (s *Store) callHash(c Caller, _ *pb.HashRequest) (*pb.HashResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	h := s.kv.hash(-1, s.kv.rev, nil)
	return &pb.HashResponse{Header: s.header(c), Hash: h.hash}, nil
}
