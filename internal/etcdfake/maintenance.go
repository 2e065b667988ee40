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
	snapshotBlock = 512
	snapshotChunk = 32 << 10
)

// status tells that this member leads: every fake member believes that of itself unless a script
// says otherwise.
func (s *Server) status(hdr *pb.ResponseHeader, _ *pb.StatusRequest) (*pb.StatusResponse, error) {
	size := int64(s.opts.snapshotSize)
	return &pb.StatusResponse{
		Header:           hdr,
		Version:          s.opts.version,
		StorageVersion:   s.opts.version,
		DbSize:           size,
		DbSizeInUse:      size,
		Leader:           s.memberID,
		RaftIndex:        uint64(s.state.kv.rev),
		RaftAppliedIndex: uint64(s.state.kv.rev),
		RaftTerm:         raftTerm,
	}, nil
}

func (st *state) alarmLocked(
	hdr *pb.ResponseHeader, req *pb.AlarmRequest,
) (*pb.AlarmResponse, error) {
	matches := func(a *pb.AlarmMember) bool {
		return (req.MemberID == 0 || a.MemberID == req.MemberID) &&
			(req.Alarm == pb.AlarmType_NONE || a.Alarm == req.Alarm)
	}
	resp := &pb.AlarmResponse{Header: hdr}
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

func (st *state) defragmentLocked(
	hdr *pb.ResponseHeader, _ *pb.DefragmentRequest,
) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{Header: hdr}, nil
}

func (st *state) hashLocked(hdr *pb.ResponseHeader, _ *pb.HashRequest) (*pb.HashResponse, error) {
	return &pb.HashResponse{Header: hdr, Hash: st.sumLocked(0)}, nil
}

func (st *state) hashKVLocked(
	hdr *pb.ResponseHeader, req *pb.HashKVRequest,
) (*pb.HashKVResponse, error) {
	if err := st.kv.check(req.Revision); err != nil {
		return nil, err
	}
	rev := req.Revision
	if rev <= 0 {
		rev = st.kv.rev
	}
	return &pb.HashKVResponse{Header: hdr, Hash: st.sumLocked(rev), HashRevision: rev,
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

func (st *state) moveLeaderLocked(
	hdr *pb.ResponseHeader, req *pb.MoveLeaderRequest,
) (*pb.MoveLeaderResponse, error) {
	if _, err := st.memberLocked(req.TargetID); err != nil {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	return &pb.MoveLeaderResponse{Header: hdr}, nil
}

func (s *Server) downgrade(
	hdr *pb.ResponseHeader, _ *pb.DowngradeRequest,
) (*pb.DowngradeResponse, error) {
	return &pb.DowngradeResponse{Header: hdr, Version: s.opts.version}, nil
}

// Snapshot is what the default Snapshot method sends: whole blocks of 512 bytes and their SHA-256.
func (s *Server) Snapshot() []byte {
	blocks := (s.opts.snapshotSize + snapshotBlock - 1) / snapshotBlock
	data := make([]byte, blocks*snapshotBlock, blocks*snapshotBlock+sha256.Size)
	for i := range data {
		data[i] = byte(i>>9) ^ byte(i)
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
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	left := len(data)
	for chunk := range slices.Chunk(body, snapshotChunk) {
		left -= len(chunk)
		if err := ss.SendMsg(s.snapshotPart(chunk, left)); err != nil {
			return err
		}
	}
	return ss.SendMsg(s.snapshotPart(sum, 0))
}

func (s *Server) snapshotPart(blob []byte, left int) *pb.SnapshotResponse {
	hdr := s.header()
	hdr.Revision = s.Revision()
	return &pb.SnapshotResponse{Header: hdr, RemainingBytes: uint64(left), Blob: blob,
		Version: s.opts.version}
}
