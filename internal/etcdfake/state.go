package etcdfake

import (
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// state is what the members of a fake cluster agree on: keys, leases, members, users and alarms.
type state struct {
	now func() time.Time // read-only after newState; leases expire by it

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

func newState() *state {
	return &state{
		now:     time.Now,
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

// handler answers a request from the locked state, without the header. A nil answer stands for one
// that is nothing but a header.
type handler func(*state, proto.Message) (proto.Message, error)

func answer[Req, Resp proto.Message](f func(*state, Req) (Resp, error)) handler {
	return func(st *state, req proto.Message) (proto.Message, error) { return f(st, req.(Req)) }
}

// done makes a handler of a function without an answer.
func done[Req proto.Message](f func(*state, Req) error) handler {
	return func(st *state, req proto.Message) (proto.Message, error) {
		return nil, f(st, req.(Req))
	}
}

// doneAuth is done for changes of users and roles, each of which has a revision.
func doneAuth[Req proto.Message](f func(*state, Req) error) handler {
	return done(func(st *state, req Req) error {
		err := f(st, req)
		if err == nil {
			st.auth.revision++
		}
		return err
	})
}

// apply answers a request; empty is the answer if h gives none.
func (s *Server) apply(h handler, req, empty proto.Message) (proto.Message, error) {
	s.state.lock()
	defer s.state.mu.Unlock()
	resp, err := h(s.state, req)
	if err != nil {
		return nil, err
	}
	if resp == nil {
		resp = empty
	}
	m := resp.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("header"),
		protoreflect.ValueOfMessage(s.headerLocked().ProtoReflect()))
	return resp, nil
}

// header is a response header of this member, without the revision.
func (s *Server) header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: clusterID, MemberId: s.memberID, RaftTerm: raftTerm}
}

func (s *Server) headerLocked() *pb.ResponseHeader {
	hdr := s.header()
	hdr.Revision = s.state.kv.rev
	return hdr
}

// Revision is the revision of the newest write; it is 1 before the first.
func (s *Server) Revision() int64 {
	s.state.lock()
	defer s.state.mu.Unlock()
	return s.state.kv.rev
}
