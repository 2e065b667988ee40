package store

import (
	"crypto/sha1"
	"encoding/binary"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"
)

// maxLearners is how many learners etcd allows by default.
const maxLearners = 1

func (s *Store) member(id uint64) *pb.Member {
	i := slices.IndexFunc(s.members, func(m *pb.Member) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return s.members[i]
}

func (s *Store) isLearner(id uint64) bool { return s.member(id).GetIsLearner() }

// IsLearner reports whether a member is a learner, which does not vote.
func (s *Store) IsLearner(id uint64) bool {
	s.enter()
	defer s.leave()
	return s.isLearner(id)
}

// SetClientURLs sets the client URLs of a member in the member list.
func (s *Store) SetClientURLs(id uint64, urls ...string) {
	s.enter()
	defer s.leave()
	if m := s.member(id); m != nil {
		m.ClientURLs = urls
	}
}

// Leader returns the id of the leader, or 0 if there is none.
func (s *Store) Leader() uint64 {
	s.enter()
	defer s.leave()
	return s.leader
}

// LoseLeader leaves the cluster without a leader until Elect is called. Leases do not expire
// without a leader.
func (s *Store) LoseLeader() {
	s.enter()
	defer s.leave()
	s.leader = 0
	s.expiryMoved()
}

// Elect makes a member the leader in a new term. As with a new leader in etcd, every lease then
// lives for its full TTL plus Config.Election.
func (s *Store) Elect(id uint64) {
	s.enter()
	defer s.leave()
	s.elect(id)
}

func (s *Store) elect(id uint64) {
	s.leader = id
	s.term++
	s.index++
	s.leases.next = s.cfg.Now().Add(seconds(maxLeaseTTL))
	for _, l := range s.leases.byID {
		s.setExpiry(l, s.cfg.Election)
	}
	s.expiryMoved()
}

// clusterHeader returns the header of an answer of the Cluster service. As in etcd, the header has
// no revision.
func (s *Store) clusterHeader(c Caller) *pb.ResponseHeader { return s.headerAt(c, 0) }

// membersByID returns copies of the members, sorted by id. They are copies so that a later change
// of a member does not change an answer.
func (s *Store) membersByID() []*pb.Member {
	members := make([]*pb.Member, 0, len(s.members))
	for _, m := range s.members {
		members = append(members, proto.Clone(m).(*pb.Member))
	}
	slices.SortFunc(members, func(a, b *pb.Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return members
}

func (s *Store) callMemberList(c Caller, _ *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if err := s.requireIdentity(c); err != nil {
		return nil, err
	}
	return &pb.MemberListResponse{Header: s.clusterHeader(c), Members: s.membersByID()}, nil
}

// parseURLs returns the peer URLs sorted, each in the form in which etcd prints it. It returns
// ErrGRPCMemberBadURLs if a URL is malformed or if there are no URLs.
func parseURLs(texts []string) ([]string, error) {
	if len(texts) == 0 {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	urls := make([]string, 0, len(texts))
	for _, text := range texts {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			return nil, rpctypes.ErrGRPCMemberBadURLs
		}
		switch u.Scheme {
		case "http", "https":
			if _, _, err := net.SplitHostPort(u.Host); err != nil || u.Path != "" {
				return nil, rpctypes.ErrGRPCMemberBadURLs
			}
		case "unix", "unixs":
		default:
			return nil, rpctypes.ErrGRPCMemberBadURLs
		}
		urls = append(urls, u.String())
	}
	slices.Sort(urls)
	return urls, nil
}

func (s *Store) callMemberAdd(c Caller, req *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	urls, err := parseURLs(req.PeerURLs)
	if err != nil {
		return nil, err
	}
	if err := s.admin(c); err != nil {
		return nil, err
	}
	if started, voters := s.started(0); !req.IsLearner && !(started == 1 && voters == 1) &&
		started < (voters+1)/2+1 {
		return nil, rpctypes.ErrMemberNotEnoughStarted
	}
	s.index++
	id := s.memberID(urls)
	switch {
	case s.removed[id]:
		return nil, rpctypes.ErrGRPCMemberNotFound
	case s.member(id) != nil:
		return nil, rpctypes.ErrGRPCMemberExist
	case s.hasPeerURL(urls, 0):
		return nil, rpctypes.ErrGRPCPeerURLExist
	case req.IsLearner && s.learners() >= maxLearners:
		return nil, rpctypes.ErrGRPCTooManyLearners
	}
	m := &pb.Member{ID: id, PeerURLs: urls, IsLearner: req.IsLearner}
	s.members = append(s.members, m)
	return &pb.MemberAddResponse{Header: s.clusterHeader(c),
		Member: proto.Clone(m).(*pb.Member), Members: s.membersByID()}, nil
}

// memberID returns the id of a new member. As in etcd, the id is a hash of the member's URLs and of
// the time in whole seconds. So the same URLs cannot be added twice in one second.
func (s *Store) memberID(urls []string) uint64 {
	text := strings.Join(urls, "") + strconv.FormatInt(s.cfg.Now().Unix(), 10)
	sum := sha1.Sum([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// started returns how many voting members have started, and how many voting members there are. A
// member has started if it has a name. The member with the id except is not counted.
func (s *Store) started(except uint64) (started, voters int) {
	for _, m := range s.members {
		if m.IsLearner || m.ID == except {
			continue
		}
		voters++
		if m.Name != "" {
			started++
		}
	}
	return started, voters
}

func (s *Store) learners() int {
	n := 0
	for _, m := range s.members {
		if m.IsLearner {
			n++
		}
	}
	return n
}

func (s *Store) hasPeerURL(urls []string, except uint64) bool {
	return slices.ContainsFunc(s.members, func(m *pb.Member) bool {
		return m.ID != except && slices.ContainsFunc(m.PeerURLs, func(u string) bool {
			return slices.Contains(urls, u)
		})
	})
}

func (s *Store) callMemberRemove(
	c Caller, req *pb.MemberRemoveRequest,
) (*pb.MemberRemoveResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	if !s.isLearner(req.ID) {
		if started, voters := s.started(req.ID); started < voters/2+1 {
			return nil, rpctypes.ErrMemberNotEnoughStarted
		}
	}
	s.index++
	if s.member(req.ID) == nil {
		return nil, rpctypes.ErrGRPCMemberNotFound
	}
	s.members = slices.DeleteFunc(slices.Clone(s.members), func(m *pb.Member) bool {
		return m.ID == req.ID
	})
	s.removed[req.ID] = true
	if s.leader == req.ID {
		voter := slices.IndexFunc(s.members, func(m *pb.Member) bool { return !m.IsLearner })
		// A voting member is left. Without one, the removal would have been refused above.
		s.elect(s.members[voter].ID)
	}
	return &pb.MemberRemoveResponse{Header: s.clusterHeader(c), Members: s.membersByID()}, nil
}

func (s *Store) callMemberUpdate(
	c Caller, req *pb.MemberUpdateRequest,
) (*pb.MemberUpdateResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	s.index++
	m := s.member(req.ID)
	if m == nil {
		return nil, rpctypes.ErrGRPCMemberNotFound
	}
	if s.hasPeerURL(req.PeerURLs, req.ID) {
		return nil, rpctypes.ErrGRPCPeerURLExist
	}
	m.PeerURLs = slices.Clone(req.PeerURLs)
	return &pb.MemberUpdateResponse{Header: s.clusterHeader(c), Members: s.membersByID()}, nil
}

// callMemberPromote makes a learner a voting member. It refuses a learner that has not started,
// because the log of such a learner is not in sync with the leader.
func (s *Store) callMemberPromote(
	c Caller, req *pb.MemberPromoteRequest,
) (*pb.MemberPromoteResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	m := s.member(req.ID)
	switch {
	case m == nil:
		return nil, rpctypes.ErrGRPCMemberNotFound
	case m.Name == "":
		return nil, rpctypes.ErrGRPCLearnerNotReady
	}
	if started, voters := s.started(0); started+1 < (voters+1)/2+1 {
		return nil, rpctypes.ErrMemberNotEnoughStarted
	}
	s.index++
	if !m.IsLearner {
		return nil, rpctypes.ErrGRPCMemberNotLearner
	}
	m.IsLearner = false
	return &pb.MemberPromoteResponse{Header: s.clusterHeader(c), Members: s.membersByID()}, nil
}
