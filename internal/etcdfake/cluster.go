package etcdfake

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

const firstMemberID = 0xfa4e01

// join adds a member, gives it an id and returns that.
func (st *state) join(m *pb.Member) uint64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.joinLocked(m)
}

func (st *state) joinLocked(m *pb.Member) uint64 {
	m.ID = st.nextID
	st.nextID++
	st.members = append(st.members, m)
	return m.ID
}

// SetMembers replaces the member list, for lists with learners, with members not started, or
// without members.
func (s *Server) SetMembers(members ...*pb.Member) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.members = members
}

// membersLocked are copies, so that what was answered does not change later.
func (st *state) membersLocked() []*pb.Member {
	members := make([]*pb.Member, 0, len(st.members))
	for _, m := range st.members {
		members = append(members, proto.Clone(m).(*pb.Member))
	}
	return members
}

func (st *state) memberLocked(id uint64) (*pb.Member, error) {
	i := slices.IndexFunc(st.members, func(m *pb.Member) bool { return m.ID == id })
	if i < 0 {
		return nil, rpctypes.ErrGRPCMemberNotFound
	}
	return st.members[i], nil
}

func (st *state) memberListLocked(_ *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return &pb.MemberListResponse{Members: st.membersLocked()}, nil
}

func (st *state) memberAddLocked(req *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	if len(req.PeerURLs) == 0 {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	m := &pb.Member{PeerURLs: slices.Clone(req.PeerURLs), IsLearner: req.IsLearner}
	st.joinLocked(m)
	return &pb.MemberAddResponse{Member: proto.Clone(m).(*pb.Member),
		Members: st.membersLocked()}, nil
}

func (st *state) memberRemoveLocked(req *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	if _, err := st.memberLocked(req.ID); err != nil {
		return nil, err
	}
	st.members = slices.DeleteFunc(slices.Clone(st.members), func(m *pb.Member) bool {
		return m.ID == req.ID
	})
	return &pb.MemberRemoveResponse{Members: st.membersLocked()}, nil
}

func (st *state) memberUpdateLocked(req *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	m, err := st.memberLocked(req.ID)
	if err != nil {
		return nil, err
	}
	m.PeerURLs = slices.Clone(req.PeerURLs)
	return &pb.MemberUpdateResponse{Members: st.membersLocked()}, nil
}

func (st *state) promoteLocked(req *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	m, err := st.memberLocked(req.ID)
	if err != nil {
		return nil, err
	}
	if !m.IsLearner {
		return nil, rpctypes.ErrGRPCMemberNotLearner
	}
	m.IsLearner = false
	return &pb.MemberPromoteResponse{Members: st.membersLocked()}, nil
}
