package store

import (
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// When etcd checks the quota before a write, it counts leaseCost bytes for a new lease. For a
	// put it counts keyCost bytes in addition to the bytes of the key and the value.
	leaseCost, keyCost = 64, 256
	defaultQuota       = 2 << 30
	emptySize          = 20 << 10 // the size in bytes of a database file without keys
)

func putCost(req *pb.PutRequest) int { return keyCost + len(req.GetKey()) + len(req.GetValue()) }

// txnCost returns how many bytes etcd counts for a transaction when it checks the quota: the cost
// of the more expensive branch.
func txnCost(req *pb.TxnRequest) int {
	var costs [2]int
	for i, ops := range [][]*pb.RequestOp{req.GetSuccess(), req.GetFailure()} {
		for _, op := range ops {
			if put := op.GetRequestPut(); put != nil {
				costs[i] += putCost(put)
			} else if txn := op.GetRequestTxn(); txn != nil {
				costs[i] += txnCost(txn)
			}
		}
	}
	return max(costs[0], costs[1])
}

// size estimates the size in bytes of the database file that etcd would have. It does not count
// unused space in the pages of the file.
func (s *Store) size() int64 {
	size := int64(emptySize)
	for _, e := range s.kv.log {
		size += int64(keyCost/2 + len(e.kv.Key) + len(e.kv.Value))
	}
	return size
}

// checkQuota returns ErrGRPCNoSpace, and raises the alarm NOSPACE, if a write does not fit into the
// quota.
func (s *Store) checkQuota(c Caller, cost int) error {
	quota := s.quota()
	if cost == 0 || quota < 0 || s.cfg.Quota == 0 || s.size()+int64(cost) < quota {
		return nil
	}
	s.activate(c.Member, pb.AlarmType_NOSPACE)
	return rpctypes.ErrGRPCNoSpace
}

func (s *Store) quota() int64 {
	if s.cfg.Quota == 0 {
		return defaultQuota
	}
	return s.cfg.Quota
}

// refusedByAlarm returns the error with which an active alarm refuses a write, or nil. The alarm
// CORRUPT refuses every write. The alarm NOSPACE refuses a write that needs space.
func (s *Store) refusedByAlarm(needsSpace bool) error {
	var err error
	for _, a := range s.alarms {
		switch {
		case a.Alarm == pb.AlarmType_CORRUPT:
			return rpctypes.ErrGRPCCorrupt
		case a.Alarm == pb.AlarmType_NOSPACE && needsSpace:
			err = rpctypes.ErrGRPCNoSpace
		}
	}
	return err
}

func (s *Store) activate(member uint64, kind pb.AlarmType) *pb.AlarmMember {
	for _, a := range s.alarms {
		if a.MemberID == member && a.Alarm == kind {
			return a
		}
	}
	a := &pb.AlarmMember{MemberID: member, Alarm: kind}
	s.alarms = append(s.alarms, a)
	return a
}

func (s *Store) deactivate(member uint64, kind pb.AlarmType) *pb.AlarmMember {
	for i, a := range s.alarms {
		if a.MemberID == member && a.Alarm == kind {
			s.alarms = append(s.alarms[:i:i], s.alarms[i+1:]...)
			return a
		}
	}
	return nil
}

func (s *Store) callAlarm(c Caller, req *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	check := s.admin
	if req.Action == pb.AlarmRequest_GET {
		check = s.requireIdentity
	}
	if err := check(c); err != nil {
		return nil, err
	}
	if _, err := s.propose(c, &pb.InternalRaftRequest{Alarm: req}); err != nil {
		return nil, err
	}
	resp := &pb.AlarmResponse{Header: s.header(c)}
	var changed *pb.AlarmMember
	switch req.Action {
	case pb.AlarmRequest_GET:
		for _, a := range s.alarms {
			if req.Alarm == pb.AlarmType_NONE || a.Alarm == req.Alarm {
				resp.Alarms = append(resp.Alarms, a)
			}
		}
	case pb.AlarmRequest_ACTIVATE:
		if req.Alarm != pb.AlarmType_NONE {
			changed = s.activate(req.MemberID, req.Alarm)
		}
	case pb.AlarmRequest_DEACTIVATE:
		changed = s.deactivate(req.MemberID, req.Alarm)
	}
	if changed != nil {
		resp.Alarms = []*pb.AlarmMember{changed}
	}
	return resp, nil
}

func (s *Store) callStatus(c Caller, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	if err := s.requireIdentity(c); err != nil {
		return nil, err
	}
	size := s.size()
	resp := &pb.StatusResponse{
		Header:           s.headerAt(c, s.viewOf(c)),
		Version:          s.cfg.Version,
		DbSize:           size,
		DbSizeInUse:      size,
		DbSizeQuota:      s.quota(),
		Leader:           s.leader,
		RaftIndex:        s.index,
		RaftAppliedIndex: s.index,
		RaftTerm:         s.term,
		StorageVersion:   clusterVersion(s.cfg.Version),
		IsLearner:        s.isLearner(c.Member),
		DowngradeInfo:    &pb.DowngradeInfo{Enabled: s.target != "", TargetVersion: s.target},
	}
	if s.leader == 0 {
		resp.Errors = append(resp.Errors, "etcdserver: no leader")
	}
	for _, a := range s.alarms {
		resp.Errors = append(resp.Errors, a.String())
	}
	return resp, nil
}

func (s *Store) callDefragment(
	c Caller, _ *pb.DefragmentRequest,
) (*pb.DefragmentResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	return &pb.DefragmentResponse{}, nil
}

func (s *Store) callMoveLeader(
	c Caller, req *pb.MoveLeaderRequest,
) (*pb.MoveLeaderResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	if c.Member != s.leader {
		return nil, rpctypes.ErrGRPCNotLeader
	}
	if m := s.member(req.TargetID); m == nil || m.IsLearner {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	if req.TargetID != s.leader {
		s.elect(req.TargetID)
	}
	return &pb.MoveLeaderResponse{}, nil
}

func (s *Store) callDowngrade(c Caller, req *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	if err := s.admin(c); err != nil {
		return nil, err
	}
	switch req.Action {
	case pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_ENABLE:
		target, err := s.checkDowngrade(req.Version)
		if err != nil {
			return nil, err
		}
		if req.Action == pb.DowngradeRequest_ENABLE {
			s.target = target
		}
	case pb.DowngradeRequest_CANCEL:
		s.target = ""
	default:
		return nil, status.Error(codes.Unknown, "etcdserver: unknown method")
	}
	return &pb.DowngradeResponse{Header: s.header(c), Version: s.minorVersion()}, nil
}

// checkDowngrade returns the cluster version to downgrade to. It returns an error if the parameter
// version is not the minor version right before the cluster's own, or if a downgrade is enabled
// already.
func (s *Store) checkDowngrade(version string) (string, error) {
	major, minor, ok := parseVersion(version)
	if !ok {
		return "", rpctypes.ErrGRPCWrongDowngradeVersionFormat
	}
	ownMajor, ownMinor, _ := parseVersion(s.cfg.Version)
	if major != ownMajor || minor != ownMinor-1 {
		return "", rpctypes.ErrGRPCInvalidDowngradeTargetVersion
	}
	if s.target != "" {
		return "", rpctypes.ErrGRPCDowngradeInProcess
	}
	return clusterVersion(version), nil
}

func (s *Store) minorVersion() string {
	return strings.TrimSuffix(clusterVersion(s.cfg.Version), ".0")
}

// clusterVersion returns a version with the patch number 0: "3.7.0" for "3.7.3".
func clusterVersion(version string) string {
	major, minor, _ := parseVersion(version)
	return strconv.Itoa(major) + "." + strconv.Itoa(minor) + ".0"
}

// parseVersion returns the first two numbers of a version such as "3.7", "3.7.1" or "3.7.0-rc.1".
func parseVersion(version string) (major, minor int, ok bool) {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, 0, false
	}
	numbers := make([]int, len(parts))
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return 0, 0, false
		}
		numbers[i] = int(n)
	}
	return numbers[0], numbers[1], true
}
