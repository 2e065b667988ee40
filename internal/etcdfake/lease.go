package etcdfake

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const (
	firstLeaseID = 0x1000
	maxLeaseTTL  = 9_000_000_000 // seconds, as in etcd
)

type lease struct {
	id     int64
	ttl    int64 // seconds, as granted
	expiry time.Time
	keys   map[string]struct{}
}

// leaseTable holds the leases that have not expired. The mutex of the state it belongs to guards
// it.
type leaseTable struct {
	byID   map[int64]*lease
	nextID int64
	next   time.Time // no lease expires before it
}

func (t *leaseTable) attach(key []byte, id int64) {
	if l := t.byID[id]; l != nil {
		l.keys[string(key)] = struct{}{}
	}
}

func (t *leaseTable) detach(kv *keyValue) {
	if l := t.byID[kv.Lease]; l != nil {
		delete(l.keys, string(kv.Key))
	}
}

func (t *leaseTable) sorted() []*lease {
	leases := make([]*lease, 0, len(t.byID))
	for _, l := range t.byID {
		leases = append(leases, l)
	}
	slices.SortFunc(leases, func(a, b *lease) int { return a.expiry.Compare(b.expiry) })
	return leases
}

func (l *lease) sortedKeys() [][]byte {
	keys := make([][]byte, 0, len(l.keys))
	for key := range l.keys {
		keys = append(keys, []byte(key))
	}
	slices.SortFunc(keys, slices.Compare)
	return keys
}

// expireLocked revokes the leases whose time has passed, the oldest first.
func (st *state) expireLocked() {
	if len(st.leases.byID) == 0 {
		return
	}
	now := st.now()
	if now.Before(st.leases.next) {
		return
	}
	for _, l := range st.leases.sorted() {
		if now.Before(l.expiry) {
			st.leases.next = l.expiry
			return
		}
		st.dropLocked(l)
	}
}

// untilExpiryLocked is how long no lease expires, as far as is known: it is looked at again after
// that.
func (st *state) untilExpiryLocked() time.Duration {
	if len(st.leases.byID) == 0 {
		return time.Hour
	}
	return max(st.leases.next.Sub(st.now()), time.Millisecond)
}

// renewLocked starts the lease's time anew.
func (st *state) renewLocked(l *lease) {
	l.expiry = st.now().Add(time.Duration(l.ttl) * time.Second)
	if len(st.leases.byID) == 1 || l.expiry.Before(st.leases.next) {
		st.leases.next = l.expiry
	}
}

// dropLocked removes a lease and its keys; the deletions have one revision.
func (st *state) dropLocked(l *lease) {
	delete(st.leases.byID, l.id)
	tx := st.kv.begin()
	for _, key := range l.sortedKeys() {
		st.kv.del(tx, key, nil)
	}
	st.commitLocked(tx)
}

func (st *state) grantLocked(req *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	id := req.ID
	for id == 0 || req.ID == 0 && st.leases.byID[id] != nil {
		st.leases.nextID++
		id = st.leases.nextID
	}
	switch {
	case st.leases.byID[id] != nil:
		return nil, rpctypes.ErrGRPCLeaseExist
	case req.TTL > maxLeaseTTL:
		return nil, rpctypes.ErrGRPCLeaseTTLTooLarge
	}
	l := &lease{id: id, ttl: max(req.TTL, 1), keys: make(map[string]struct{})}
	st.leases.byID[id] = l
	st.renewLocked(l)
	return &pb.LeaseGrantResponse{ID: id, TTL: l.ttl}, nil
}

func (st *state) revokeLocked(req *pb.LeaseRevokeRequest) error {
	l := st.leases.byID[req.ID]
	if l == nil {
		return rpctypes.ErrGRPCLeaseNotFound
	}
	st.dropLocked(l)
	return nil
}

func (st *state) ttlLocked(req *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	l := st.leases.byID[req.ID]
	if l == nil {
		return &pb.LeaseTimeToLiveResponse{ID: req.ID, TTL: -1}, nil
	}
	resp := &pb.LeaseTimeToLiveResponse{ID: l.id, GrantedTTL: l.ttl}
	resp.TTL = int64(l.expiry.Sub(st.now()) / time.Second)
	if req.Keys {
		resp.Keys = l.sortedKeys()
	}
	return resp, nil
}

func (st *state) leasesLocked(_ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	resp := &pb.LeaseLeasesResponse{}
	for _, l := range st.leases.sorted() {
		resp.Leases = append(resp.Leases, &pb.LeaseStatus{ID: l.id})
	}
	return resp, nil
}

func (st *state) renewalLocked(req *pb.LeaseKeepAliveRequest) (*pb.LeaseKeepAliveResponse, error) {
	resp := &pb.LeaseKeepAliveResponse{ID: req.ID}
	if l := st.leases.byID[req.ID]; l != nil {
		st.renewLocked(l)
		resp.TTL = l.ttl
	}
	return resp, nil
}

// serveKeepAlive answers each request with the lease's TTL, or 0 when there is no such lease.
func (s *Server) serveKeepAlive(
	_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	send func(*pb.LeaseKeepAliveResponse) error,
) error {
	for {
		req, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		resp, err := s.apply(answer((*state).renewalLocked), req, nil)
		if err != nil {
			return err
		}
		if err := send(resp.(*pb.LeaseKeepAliveResponse)); err != nil {
			return err
		}
	}
}

// Leases returns the ids of the leases that have not expired, the next to expire first.
func (s *Server) Leases() []int64 {
	s.state.lock()
	defer s.state.mu.Unlock()
	ids := make([]int64, 0, len(s.state.leases.byID))
	for _, l := range s.state.leases.sorted() {
		ids = append(ids, l.id)
	}
	return ids
}
