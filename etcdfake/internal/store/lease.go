package store

import (
	"maps"
	"math"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const (
	firstLeaseID = 0x7fa4e000
	maxLeaseTTL  = 9_000_000_000 // seconds, as in etcd
)

type lease struct {
	id     int64
	ttl    int64 // the granted TTL, in seconds
	expiry time.Time
	keys   map[string]bool
}

type leaseTable struct {
	byID   map[int64]*lease
	lastID int64     // the last lease ID that the store chose
	next   time.Time // no lease expires before this time
}

func newLeaseTable() leaseTable {
	return leaseTable{byID: make(map[int64]*lease), lastID: firstLeaseID}
}

func (t *leaseTable) attach(kv *mvccpb.KeyValue) {
	if l := t.byID[kv.Lease]; l != nil {
		l.keys[string(kv.Key)] = true
	}
}

func (t *leaseTable) detach(kv *mvccpb.KeyValue) {
	if l := t.byID[kv.Lease]; l != nil {
		delete(l.keys, string(kv.Key))
	}
}

// byExpiry returns the leases in the order of their expiry. The lease that expires next is first.
func (t *leaseTable) byExpiry() []*lease {
	return slices.SortedFunc(maps.Values(t.byID), func(a, b *lease) int {
		if c := a.expiry.Compare(b.expiry); c != 0 {
			return c
		}
		return int(a.id - b.id)
	})
}

func (l *lease) sortedKeys() []string { return slices.Sorted(maps.Keys(l.keys)) }

// expireLeases revokes the leases whose time has passed. It does nothing while there is no leader,
// because in etcd only the leader revokes leases.
func (s *Store) expireLeases() {
	if len(s.leases.byID) == 0 || s.leader == 0 {
		return
	}
	now := s.cfg.Now()
	if now.Before(s.leases.next) {
		return
	}
	for _, l := range s.leases.byExpiry() {
		if now.Before(l.expiry) {
			s.leases.next = l.expiry
			s.expiryMoved()
			return
		}
		s.revoke(l)
	}
}

// NextExpiry returns the time before which no lease expires. It returns false if there is no lease,
// or no leader to revoke leases.
func (s *Store) NextExpiry() (time.Time, bool) {
	s.enter()
	defer s.leave()
	return s.leases.next, len(s.leases.byID) > 0 && s.leader != 0
}

// setExpiry sets the expiry of a lease to the current time plus the TTL plus the parameter extra.
// Callers pass the election timeout as extra after an election, and 0 at any other time.
func (s *Store) setExpiry(l *lease, extra time.Duration) {
	l.expiry = s.cfg.Now().Add(seconds(l.ttl)).Add(extra)
	if len(s.leases.byID) == 1 || l.expiry.Before(s.leases.next) {
		s.leases.next = l.expiry
		s.expiryMoved()
	}
}

func seconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

// revoke removes a lease and deletes its keys. All these deletions have the same revision.
func (s *Store) revoke(l *lease) {
	tx := s.begin()
	for _, key := range l.sortedKeys() {
		tx.delete([]byte(key), nil)
	}
	delete(s.leases.byID, l.id)
	tx.commit()
}

func (s *Store) callGrant(c Caller, req *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if err := s.checkQuota(c, leaseCost); err != nil {
		return nil, err
	}
	if err := s.requireIdentity(c); err != nil {
		return nil, err
	}
	if _, err := s.propose(c, &pb.InternalRaftRequest{LeaseGrant: req}); err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(true); err != nil {
		return nil, err
	}
	id := req.ID
	for id == 0 || req.ID == 0 && s.leases.byID[id] != nil {
		s.leases.lastID++
		id = s.leases.lastID
	}
	switch {
	case req.TTL > maxLeaseTTL:
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	case s.leases.byID[id] != nil:
		return nil, rpctypes.ErrGRPCLeaseExist
	}
	l := &lease{id: id, ttl: max(req.TTL, s.cfg.MinTTL), keys: make(map[string]bool)}
	s.leases.byID[id] = l
	s.setExpiry(l, 0)
	return &pb.LeaseGrantResponse{Header: s.header(c), ID: id, TTL: l.ttl}, nil
}

func (s *Store) callRevoke(c Caller, req *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	if err := s.requireIdentity(c); err != nil {
		return nil, err
	}
	who, err := s.propose(c, &pb.InternalRaftRequest{LeaseRevoke: req})
	if err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(false); err != nil {
		return nil, err
	}
	if err := s.mayWriteLease(who, req.ID); err != nil {
		return nil, err
	}
	l := s.leases.byID[req.ID]
	if l == nil {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	s.revoke(l)
	return &pb.LeaseRevokeResponse{Header: s.header(c)}, nil
}

func (s *Store) callTimeToLive(
	c Caller, req *pb.LeaseTimeToLiveRequest,
) (*pb.LeaseTimeToLiveResponse, error) {
	if err := s.requireIdentity(c); err != nil {
		return nil, err
	}
	if req.Keys {
		if err := s.mayReadLeases(c, req.ID); err != nil {
			return nil, err
		}
	}
	l := s.leases.byID[req.ID]
	if l == nil {
		return &pb.LeaseTimeToLiveResponse{Header: s.header(c), ID: req.ID, TTL: -1}, nil
	}
	resp := &pb.LeaseTimeToLiveResponse{Header: s.header(c), ID: l.id, GrantedTTL: l.ttl}
	resp.TTL = int64(l.expiry.Sub(s.cfg.Now()).Seconds())
	if req.Keys {
		for _, key := range l.sortedKeys() {
			resp.Keys = append(resp.Keys, []byte(key))
		}
	}
	return resp, nil
}

func (s *Store) callLeases(c Caller, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	leases := s.leases.byExpiry()
	ids := make([]int64, len(leases))
	resp := &pb.LeaseLeasesResponse{Header: s.header(c)}
	for i, l := range leases {
		ids[i] = l.id
		resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: l.id})
	}
	if err := s.mayReadLeases(c, ids...); err != nil {
		return nil, err
	}
	return resp, nil
}

// KeepAlive renews a lease. The TTL in the answer is 0 if there is no such lease.
func (s *Store) KeepAlive(
	c Caller, req *pb.LeaseKeepAliveRequest,
) (*pb.LeaseKeepAliveResponse, error) {
	s.enter()
	defer s.leave()
	resp := &pb.LeaseKeepAliveResponse{Header: s.header(c), ID: req.ID}
	if err := s.mayRenew(c, req.ID); err != nil {
		return nil, err
	}
	if l := s.leases.byID[req.ID]; l != nil {
		s.setExpiry(l, 0)
		resp.TTL = l.ttl
	}
	return resp, nil
}

// Revoke removes a lease and deletes its keys. It reports whether there was such a lease.
func (s *Store) Revoke(id int64) bool {
	s.enter()
	defer s.leave()
	l := s.leases.byID[id]
	if l != nil {
		s.revoke(l)
	}
	return l != nil
}

// Lease is a lease that has not expired.
type Lease struct {
	ID     int64     // not 0
	TTL    int64     // the granted TTL, in seconds
	Expiry time.Time // when the lease expires if it is not renewed
	Keys   []string  // the keys that are attached to the lease, sorted
}

// Leases returns the leases that have not expired. The lease that expires next is first.
func (s *Store) Leases() []Lease {
	s.enter()
	defer s.leave()
	var leases []Lease
	for _, l := range s.leases.byExpiry() {
		leases = append(leases, Lease{ID: l.id, TTL: l.ttl, Expiry: l.expiry, Keys: l.sortedKeys()})
	}
	return leases
}
