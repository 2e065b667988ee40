package store

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake/internal/boltfile"
)

// snapshotChunk is how many bytes of the database file one message of a snapshot holds at most.
const snapshotChunk = 32 * 1024

// Snapshot returns the messages of a snapshot. They hold the database file in pieces, and the last
// message holds the SHA-256 of the file.
func (s *Store) Snapshot(c Caller) ([]*pb.SnapshotResponse, error) {
	s.enter()
	defer s.leave()
	if err := s.admin(c); err != nil {
		return nil, err
	}
	file := s.databaseFile()
	version := clusterVersion(s.cfg.Version)
	var out []*pb.SnapshotResponse
	left := len(file)
	for chunk := range slices.Chunk(file, snapshotChunk) {
		left -= len(chunk)
		out = append(out, &pb.SnapshotResponse{RemainingBytes: uint64(left), Blob: chunk,
			Version: version})
	}
	sum := sha256.Sum256(file)
	return append(out, &pb.SnapshotResponse{Blob: sum[:], Version: version}), nil
}

// databaseFile returns the database file that an etcd member with this state would have. The users
// in the file have no passwords, because the fake does not compute bcrypt hashes as etcd does.
func (s *Store) databaseFile() []byte {
	keys := boltfile.Bucket{Name: "key"}
	for _, e := range s.kv.log {
		keys.Items = append(keys.Items, boltfile.Item{Key: e.bucketKey(), Value: e.stored()})
	}
	leases := boltfile.Bucket{Name: "lease"}
	for _, id := range slices.Sorted(maps.Keys(s.leases.byID)) {
		l := s.leases.byID[id]
		leases.Items = append(leases.Items, boltfile.Item{Key: bigEndian(uint64(l.id)),
			Value: l.stored()})
	}
	slices.SortFunc(leases.Items, func(a, b boltfile.Item) int {
		return strings.Compare(string(a.Key), string(b.Key))
	})
	version := []byte(clusterVersion(s.cfg.Version))
	return boltfile.Write(keys, leases, s.metaBucket(version), s.authBucket(), s.usersBucket(),
		s.rolesBucket(), boltfile.Bucket{Name: "alarm"}, boltfile.Bucket{Name: "members"},
		boltfile.Bucket{Name: "members_removed"},
		boltfile.Bucket{Name: "cluster", Items: []boltfile.Item{
			{Key: []byte("clusterVersion"), Value: version}}})
}

func bigEndian(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// stored returns the encoded message that etcd stores for a lease.
func (l *lease) stored() []byte {
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(l.id))
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(l.ttl))
}

func (s *Store) metaBucket(version []byte) boltfile.Bucket {
	items := []boltfile.Item{{Key: []byte("consistent_index"), Value: bigEndian(s.index)}}
	if s.kv.compacted > 0 {
		rev := (&entry{main: s.kv.compacted}).bucketKey()
		items = append(items, boltfile.Item{Key: []byte("finishedCompactRev"), Value: rev},
			boltfile.Item{Key: []byte("scheduledCompactRev"), Value: rev})
	}
	items = append(items, boltfile.Item{Key: []byte("storageVersion"), Value: version},
		boltfile.Item{Key: []byte("term"), Value: bigEndian(s.term)})
	return boltfile.Bucket{Name: "meta", Items: items}
}

func (s *Store) authBucket() boltfile.Bucket {
	enabled := []byte{0}
	if s.auth.enabled {
		enabled = []byte{1}
	}
	return boltfile.Bucket{Name: "auth", Items: []boltfile.Item{
		{Key: []byte("authEnabled"), Value: enabled},
		{Key: []byte("authRevision"), Value: bigEndian(s.auth.revision)}}}
}

func (s *Store) usersBucket() boltfile.Bucket {
	b := boltfile.Bucket{Name: "authUsers"}
	for _, name := range slices.Sorted(maps.Keys(s.auth.users)) {
		u := s.auth.users[name]
		// The encoding of a user cannot fail.
		value, _ := proto.Marshal(&authpb.User{Name: []byte(name), Roles: u.roles,
			Options: &authpb.UserAddOptions{NoPassword: u.noPassword}})
		b.Items = append(b.Items, boltfile.Item{Key: []byte(name), Value: value})
	}
	return b
}

func (s *Store) rolesBucket() boltfile.Bucket {
	b := boltfile.Bucket{Name: "authRoles"}
	for _, name := range slices.Sorted(maps.Keys(s.auth.roles)) {
		value, _ := proto.Marshal(s.auth.roles[name]) // the encoding of a role cannot fail
		b.Items = append(b.Items, boltfile.Item{Key: []byte(name), Value: value})
	}
	return b
}
