package etcdfake

import (
	"crypto/sha256"
	"hash/crc32"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

const (
	snapshotSize  = 128 << 10 // without its checksum
	snapshotChunk = 32 << 10
	snapshotBlock = 512
)

// status tells that this member leads: every fake member believes that of itself unless a script
// says otherwise.
func (s *Server) statusLocked(*state, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{
		Version:          s.opts.version,
		StorageVersion:   s.opts.version,
		DbSize:           snapshotSize,
		DbSizeInUse:      snapshotSize,
		Leader:           s.memberID,
		RaftIndex:        uint64(s.state.kv.rev),
		RaftAppliedIndex: uint64(s.state.kv.rev),
		RaftTerm:         raftTerm,
	}, nil
}

func (st *state) alarmLocked(req *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	matches := func(a *pb.AlarmMember) bool {
		return (req.MemberID == 0 || a.MemberID == req.MemberID) &&
			(req.Alarm == pb.AlarmType_NONE || a.Alarm == req.Alarm)
	}
	resp := &pb.AlarmResponse{}
	switch req.Action {
	case pb.AlarmRequest_ACTIVATE:
		alarm := &pb.AlarmMember{MemberID: req.MemberID, Alarm: req.Alarm}
		if !slices.ContainsFunc(st.alarms, matches) {
			st.alarms = append(st.alarms, alarm)
		}
		resp.Alarms = []*pb.AlarmMember{alarm}
		return resp, nil
	case pb.AlarmRequest_DEACTIVATE:
		st.alarms = slices.DeleteFunc(slices.Clone(st.alarms), func(a *pb.AlarmMember) bool {
			if !matches(a) {
				return false
			}
			resp.Alarms = append(resp.Alarms, a)
			return true
		})
		return resp, nil
	}
	for _, a := range st.alarms {
		if matches(a) {
			resp.Alarms = append(resp.Alarms, a)
		}
	}
	return resp, nil
}

func (st *state) defragmentLocked(*pb.DefragmentRequest) error { return nil }

func (st *state) hashLocked(*pb.HashRequest) (*pb.HashResponse, error) {
	return &pb.HashResponse{Hash: st.sumLocked(0)}, nil
}

func (st *state) hashKVLocked(req *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	if err := st.kv.check(req.Revision); err != nil {
		return nil, err
	}
	rev := req.Revision
	if rev <= 0 {
		rev = st.kv.rev
	}
	return &pb.HashKVResponse{Hash: st.sumLocked(rev), HashRevision: rev,
		CompactRevision: st.kv.compacted}, nil
}

// sumLocked is a checksum of the keys and values at a revision.
func (st *state) sumLocked(rev int64) uint32 {
	h := crc32.NewIEEE()
	for _, kv := range st.kv.find([]byte{0}, []byte{0}, rev) {
		_, _ = h.Write(kv.Key)
		_, _ = h.Write(kv.Value)
	}
	return h.Sum32()
}

func (st *state) moveLeaderLocked(req *pb.MoveLeaderRequest) error {
	if _, err := st.memberLocked(req.TargetID); err != nil {
		return rpctypes.ErrGRPCBadLeaderTransferee
	}
	return nil
}

func (s *Server) downgradeLocked(*state, *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return &pb.DowngradeResponse{Version: s.opts.version}, nil
}

// Snapshot is what the default Snapshot method sends: 128 KiB and their SHA-256.
func (s *Server) Snapshot() []byte {
	data := make([]byte, snapshotSize, snapshotSize+sha256.Size)
	for i := range data {
		data[i] = byte(i/snapshotBlock) ^ byte(i)
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

// serveSnapshot sends the snapshot in chunks and its checksum in a last one.
func (s *Server) serveSnapshot(ss grpc.ServerStream) error {
	if err := ss.RecvMsg(new(pb.SnapshotRequest)); err != nil {
		return err
	}
	data := s.Snapshot()
	hdr := s.header()
	hdr.Revision = s.Revision()
	for len(data) > 0 {
		n := sha256.Size
		if len(data) > n {
			n = min(snapshotChunk, len(data)-n)
		}
		part := &pb.SnapshotResponse{Header: hdr, Blob: data[:n], Version: s.opts.version,
			RemainingBytes: uint64(len(data) - n)}
		if err := ss.SendMsg(part); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
