package store

import (
	"bytes"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// writeTx is one write transaction. Its changes are added to the keyspace before the commit, at the
// next revision. Readers see this revision only after the commit.
type writeTx struct {
	s       *Store
	at      time.Time
	begin   int64 // the store's revision before the transaction
	changes []*entry
}

func (s *Store) begin() *writeTx { return &writeTx{s: s, at: s.cfg.Now(), begin: s.kv.rev} }

// rev returns the revision that the transaction's own reads see.
func (tx *writeTx) rev() int64 {
	if len(tx.changes) > 0 {
		return tx.begin + 1
	}
	return tx.begin
}

func (tx *writeTx) add(kv *mvccpb.KeyValue, deleted bool) {
	e := &entry{main: tx.begin + 1, sub: int64(len(tx.changes)), at: tx.at, deleted: deleted,
		kv: kv}
	tx.changes = append(tx.changes, e)
	tx.s.kv.add(e)
}

func (tx *writeTx) put(key, value []byte, lease int64) {
	rev := tx.begin + 1
	kv := &mvccpb.KeyValue{Key: bytes.Clone(key), Value: bytes.Clone(value), Lease: lease,
		CreateRevision: rev, ModRevision: rev, Version: 1}
	if prev := tx.s.kv.get(key, rev); prev != nil {
		kv.CreateRevision, kv.Version = prev.CreateRevision, prev.Version+1
		tx.s.leases.detach(prev)
	}
	tx.add(kv, false)
	tx.s.leases.attach(kv)
}

// delete deletes the keys of an interval, and returns them with the values that they had.
func (tx *writeTx) delete(key, end []byte) []*mvccpb.KeyValue {
	found := tx.s.kv.find(key, end, tx.rev())
	for _, kv := range found {
		tx.add(&mvccpb.KeyValue{Key: kv.Key, ModRevision: tx.begin + 1}, true)
		tx.s.leases.detach(kv)
	}
	return found
}

// commit makes the revision of the transaction the newest revision of the store, and queues the
// events of the transaction for the watchers.
func (tx *writeTx) commit() {
	if len(tx.changes) == 0 {
		return
	}
	tx.s.kv.rev = tx.begin + 1
	for _, ws := range tx.s.streams {
		ws.notify(tx.s.kv.rev, tx.changes)
	}
}

func checkPutRequest(req *pb.PutRequest) error {
	switch {
	case len(req.GetKey()) == 0:
		return rpctypes.ErrGRPCEmptyKey
	case req.IgnoreValue && len(req.Value) != 0:
		return rpctypes.ErrGRPCValueProvided
	case req.IgnoreLease && req.Lease != 0:
		return rpctypes.ErrGRPCLeaseProvided
	}
	return nil
}

func checkDeleteRequest(req *pb.DeleteRangeRequest) error {
	if len(req.GetKey()) == 0 {
		return rpctypes.ErrGRPCEmptyKey
	}
	return nil
}

// propose does what etcd does before it proposes a request to Raft. It checks the caller's token
// and the size of the request. It returns the user of the token, or nil if there is no user.
func (s *Store) propose(c Caller, r *pb.InternalRaftRequest) (*identity, error) {
	who, err := s.identify(c)
	if err != nil {
		return nil, err
	}
	// This ID takes as many bytes as an ID that etcd chooses. So the size that is compared with the
	// limit is the size of the request in etcd.
	r.Header = &pb.RequestHeader{ID: 1 << 63}
	if who != nil {
		r.Header.Username, r.Header.AuthRevision = who.name, who.revision
	}
	if proto.Size(r) > maxRequestBytes {
		return nil, rpctypes.ErrGRPCRequestTooLarge
	}
	s.index++
	return who, nil
}

func (s *Store) callPut(c Caller, req *pb.PutRequest) (*pb.PutResponse, error) {
	if err := s.checkQuota(c, putCost(req)); err != nil {
		return nil, err
	}
	if err := checkPutRequest(req); err != nil {
		return nil, err
	}
	who, err := s.propose(c, &pb.InternalRaftRequest{Put: req})
	if err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(true); err != nil {
		return nil, err
	}
	if err := s.mayPut(who, req); err != nil {
		return nil, err
	}
	if err := s.checkPut(req); err != nil {
		return nil, err
	}
	tx := s.begin()
	resp := tx.answerPut(req)
	tx.commit()
	resp.Header = s.header(c)
	return resp, nil
}

// checkPut returns an error if the put names a lease that does not exist. It also returns an error
// if the put has IgnoreValue or IgnoreLease and the key does not exist.
func (s *Store) checkPut(req *pb.PutRequest) error {
	switch {
	case req.Lease != 0 && s.leases.byID[req.Lease] == nil:
		return rpctypes.ErrGRPCLeaseNotFound
	case (req.IgnoreValue || req.IgnoreLease) && s.kv.get(req.Key, s.kv.rev) == nil:
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

func (tx *writeTx) answerPut(req *pb.PutRequest) *pb.PutResponse {
	prev := tx.s.kv.get(req.Key, tx.rev())
	value, lease := req.Value, req.Lease
	if req.IgnoreValue {
		value = prev.GetValue()
	}
	if req.IgnoreLease {
		lease = prev.GetLease()
	}
	tx.put(req.Key, value, lease)
	resp := &pb.PutResponse{Header: &pb.ResponseHeader{Revision: tx.begin + 1}}
	if req.PrevKv {
		resp.PrevKv = prev
	}
	return resp
}

func (s *Store) callDelete(
	c Caller, req *pb.DeleteRangeRequest,
) (*pb.DeleteRangeResponse, error) {
	if err := checkDeleteRequest(req); err != nil {
		return nil, err
	}
	who, err := s.propose(c, &pb.InternalRaftRequest{DeleteRange: req})
	if err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(false); err != nil {
		return nil, err
	}
	if err := s.auth.mayWrite(who, req.Key, req.RangeEnd); err != nil {
		return nil, err
	}
	if req.PrevKv {
		if err := s.auth.mayRead(who, req.Key, req.RangeEnd); err != nil {
			return nil, err
		}
	}
	tx := s.begin()
	resp := tx.answerDelete(req)
	tx.commit()
	resp.Header = s.header(c)
	return resp, nil
}

func (tx *writeTx) answerDelete(req *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	deleted := tx.delete(req.Key, req.RangeEnd)
	resp := &pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: tx.rev()},
		Deleted: int64(len(deleted))}
	if req.PrevKv {
		resp.PrevKvs = deleted
	}
	return resp
}

func (s *Store) callCompact(
	c Caller, req *pb.CompactionRequest,
) (*pb.CompactionResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	if _, err := s.propose(c, &pb.InternalRaftRequest{Compaction: req}); err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(false); err != nil {
		return nil, err
	}
	if err := s.compact(req.Revision); err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: s.header(c)}, nil
}

// Compact compacts the keyspace at rev, without a check of permissions.
func (s *Store) Compact(rev int64) error {
	s.enter()
	defer s.leave()
	return s.compact(rev)
}

func (s *Store) compact(rev int64) error {
	if rev > s.kv.compacted && rev <= s.kv.rev {
		s.storeHash(s.kv.hashCompaction(rev))
	}
	return s.kv.compact(rev)
}
