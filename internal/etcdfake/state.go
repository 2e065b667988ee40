package etcdfake

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// state is what the members of a fake cluster agree on: keys, leases, members, users and alarms.
type state struct {
	now func() time.Time // read-only after newState

	// guarded by mu
	mu      sync.Mutex
	kv      store
	leases  leaseTable
	members []*pb.Member
	nextID  uint64 // of members
	auth    authTable
	alarms  []*pb.AlarmMember
	changed chan struct{} // closed and replaced when the revision moves
}

func newState(now func() time.Time) *state {
	return &state{
		now:     now,
		kv:      store{rev: 1, compacted: -1, hist: make(map[string][]*keyValue)},
		leases:  leaseTable{byID: make(map[int64]*lease), nextID: firstLeaseID},
		nextID:  firstMemberID,
		auth:    newAuthTable(),
		changed: make(chan struct{}),
	}
}

// lock locks the state with expired leases gone.
func (st *state) lock() {
	st.mu.Lock()
	st.expireLocked()
}

// commitLocked makes a transaction's writes the next revision and wakes the watch streams.
func (st *state) commitLocked(tx *writeTx) {
	if len(tx.events) == 0 {
		return
	}
	st.kv.commit(tx)
	close(st.changed)
	st.changed = make(chan struct{})
}

// answer makes a unary handler of a function over the locked state. It completes the header that
// the function put into its response.
func answer[Req, Resp proto.Message](
	s *Server, f func(*state, *pb.ResponseHeader, Req) (Resp, error),
) UnaryHandler {
	return answerWith(s, func(hdr *pb.ResponseHeader, req Req) (Resp, error) {
		return f(s.state, hdr, req)
	})
}

func answerWith[Req, Resp proto.Message](
	s *Server, f func(*pb.ResponseHeader, Req) (Resp, error),
) UnaryHandler {
	return func(_ context.Context, msg proto.Message) (proto.Message, error) {
		hdr := s.header()
		s.state.lock()
		defer s.state.mu.Unlock()
		resp, err := f(hdr, msg.(Req))
		if err != nil {
			return nil, err
		}
		hdr.Revision = s.state.kv.rev
		return resp, nil
	}
}

// header is a response header of this member, without the revision.
func (s *Server) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: clusterID, MemberId: s.memberID, RaftTerm: raftTerm}
}

// Revision is the revision of the newest write; it is 1 before the first.
func (s *Server) Revision() int64 {
	s.state.lock()
	defer s.state.mu.Unlock()
	return s.state.kv.rev
}
