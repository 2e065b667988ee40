package store

import (
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Config is what a Store starts with.
type Config struct {
	Now       func() time.Time // returns the current time
	ClusterID uint64           // the cluster id in the headers of answers
	Members   []*pb.Member     // the first member is the leader
	Version   string           // the etcd version that Status reports
	Quota     int64            // bytes; 0 or below: no quota (with 0, Status reports 2 GiB)
	TokenTTL  time.Duration    // how long an authentication token is valid after its last use
	MinTTL    int64            // seconds; the shortest TTL that a lease is granted
	Election  time.Duration    // the election timeout, which a new leader adds to every lease's TTL
}

// Caller says which member received a request, and for whom the store answers it.
type Caller struct {
	Member uint64        // the id of the member that received the request
	Tokens []string      // the authentication tokens in the request's metadata
	Lag    time.Duration // how far the member lags behind the state of the cluster
}

// Store is the state that the members of a cluster share. Its methods are safe for concurrent use.
type Store struct {
	// read-only after New
	cfg Config

	// guarded by mu
	mu      sync.Mutex
	kv      keyspace
	leases  leaseTable
	members []*pb.Member

	removed map[uint64]bool // the ids of members that were removed
	leader  uint64          // the id of the leader; 0 if there is none
	term    uint64
	index   uint64 // the index of the newest entry that etcd's Raft log would have
	auth    authTable
	alarms  []*pb.AlarmMember
	hashes  []keyHash
	target  string // the target version of an enabled downgrade; "" if there is none
	streams []*WatchStream
	wake    []func() // functions to call when mu has been released
	changed []func() // functions to call when the time of the next lease expiry may have changed
}

// New makes an empty store.
func New(cfg Config) *Store {
	s := &Store{
		cfg:     cfg,
		kv:      newKeyspace(),
		leases:  newLeaseTable(),
		removed: make(map[uint64]bool),
		auth:    newAuthTable(),
		term:    2,
		index:   4,
	}
	for _, m := range cfg.Members {
		s.members = append(s.members, proto.Clone(m).(*pb.Member))
	}
	if len(s.members) > 0 {
		s.leader = s.members[0].ID
	}
	return s
}

// enter locks the store and revokes the leases whose time has passed.
func (s *Store) enter() {
	s.mu.Lock()
	s.expireLeases()
}

// leave unlocks the store, and then calls the functions in the field wake, which must not block.
func (s *Store) leave() {
	wake := s.wake
	s.wake = nil
	s.mu.Unlock()
	for _, f := range wake {
		f()
	}
}

// OnExpiry adds a function that the store calls when the time of the next lease expiry may have
// changed. The store calls the function without holding its mutex.
func (s *Store) OnExpiry(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, f)
}

func (s *Store) expiryMoved() { s.wake = append(s.wake, s.changed...) }

// Tick revokes the leases whose time has passed: the method enter does this.
func (s *Store) Tick() {
	s.enter()
	s.leave()
}

// header returns the header of an answer. It has the id of the member that received the request,
// and the store's revision.
func (s *Store) header(c Caller) *pb.ResponseHeader { return s.headerAt(c, s.kv.rev) }

func (s *Store) headerAt(c Caller, rev int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: s.cfg.ClusterID, MemberId: c.Member, Revision: rev,
		RaftTerm: s.term}
}

// Call answers a request of a unary method. The parameter method is the method's full name. The
// result known is false if there is no such method.
func (s *Store) Call(
	c Caller, method string, req proto.Message,
) (resp proto.Message, known bool, err error) {
	h := unary[method]
	if h == nil {
		return nil, false, nil
	}
	s.enter()
	defer s.leave()
	resp, err = h(s, c, req)
	return resp, true, err
}

// Revision returns the revision of the newest write. It is 1 before the first write.
func (s *Store) Revision() int64 {
	s.enter()
	defer s.leave()
	return s.kv.rev
}

// Dump returns the keys that begin with prefix, and their values.
func (s *Store) Dump(prefix string) map[string]string {
	s.enter()
	defer s.leave()
	found := make(map[string]string)
	start := []byte(prefix)
	if prefix == "" {
		start = []byte{0}
	}
	for _, kv := range s.kv.find(start, []byte{0}, s.kv.rev) {
		if strings.HasPrefix(string(kv.Key), prefix) {
			found[string(kv.Key)] = string(kv.Value)
		}
	}
	return found
}
