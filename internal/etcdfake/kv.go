package etcdfake

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

func (st *state) rangeLocked(req *pb.RangeRequest) (*pb.RangeResponse, error) {
	if len(req.Key) == 0 {
		return nil, rpctypes.ErrGRPCEmptyKey
	}
	if err := st.kv.check(req.Revision); err != nil {
		return nil, err
	}
	kvs := st.kv.find(req.Key, req.RangeEnd, req.Revision)
	resp := &pb.RangeResponse{Count: int64(len(kvs))}
	if req.CountOnly {
		return resp, nil
	}
	kvs = slices.DeleteFunc(kvs, func(kv *keyValue) bool { return filtered(req, kv) })
	sortKVs(kvs, req.SortTarget, req.SortOrder)
	if req.Limit > 0 && int64(len(kvs)) > req.Limit {
		kvs, resp.More = kvs[:req.Limit], true
	}
	if req.KeysOnly {
		for i, kv := range kvs {
			kvs[i] = keyOnly(kv)
			if req.SortTarget == pb.RangeRequest_VALUE {
				kvs[i].Lease = kv.Lease
			}
		}
	}
	resp.Kvs = kvs
	return resp, nil
}

// filtered tells whether a key's revisions are outside of those the request asks for.
func filtered(req *pb.RangeRequest, kv *keyValue) bool {
	return req.MinModRevision != 0 && kv.ModRevision < req.MinModRevision ||
		req.MaxModRevision != 0 && kv.ModRevision > req.MaxModRevision ||
		req.MinCreateRevision != 0 && kv.CreateRevision < req.MinCreateRevision ||
		req.MaxCreateRevision != 0 && kv.CreateRevision > req.MaxCreateRevision
}

// sortKVs sorts keys that are in key order.
func sortKVs(kvs []*keyValue, target pb.RangeRequest_SortTarget, order pb.RangeRequest_SortOrder) {
	if target == pb.RangeRequest_KEY && order != pb.RangeRequest_DESCEND {
		return
	}
	slices.SortStableFunc(kvs, func(a, b *keyValue) int {
		if order == pb.RangeRequest_DESCEND {
			a, b = b, a
		}
		switch target {
		case pb.RangeRequest_VERSION:
			return cmp.Compare(a.Version, b.Version)
		case pb.RangeRequest_CREATE:
			return cmp.Compare(a.CreateRevision, b.CreateRevision)
		case pb.RangeRequest_MOD:
			return cmp.Compare(a.ModRevision, b.ModRevision)
		case pb.RangeRequest_VALUE:
			return bytes.Compare(a.Value, b.Value)
		default:
			return bytes.Compare(a.Key, b.Key)
		}
	})
}

func (st *state) putLocked(req *pb.PutRequest) (*pb.PutResponse, error) {
	if err := checkPutForm(req); err != nil {
		return nil, err
	}
	tx := st.kv.begin()
	resp, err := st.putIn(tx, req)
	st.commitLocked(tx)
	return resp, err
}

func (st *state) putIn(tx *writeTx, req *pb.PutRequest) (*pb.PutResponse, error) {
	if err := st.checkPut(req); err != nil {
		return nil, err
	}
	value, leaseID := req.Value, req.Lease
	prev := st.kv.get(string(req.Key), 0)
	if req.IgnoreValue {
		value = prev.Value
	}
	if req.IgnoreLease {
		leaseID = prev.Lease
	}
	st.kv.put(tx, prev, req.Key, value, leaseID)
	if prev != nil {
		st.leases.detach(prev)
	}
	st.leases.attach(req.Key, leaseID)
	resp := &pb.PutResponse{}
	if req.PrevKv {
		resp.PrevKv = prev
	}
	return resp, nil
}

// checkPut refuses a put that the state does not allow.
func (st *state) checkPut(req *pb.PutRequest) error {
	switch {
	case req.Lease != 0 && st.leases.byID[req.Lease] == nil:
		return rpctypes.ErrGRPCLeaseNotFound
	case (req.IgnoreValue || req.IgnoreLease) && st.kv.get(string(req.Key), 0) == nil:
		return rpctypes.ErrGRPCKeyNotFound
	}
	return nil
}

func (st *state) deleteLocked(req *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	tx := st.kv.begin()
	resp, err := st.deleteIn(tx, req)
	st.commitLocked(tx)
	return resp, err
}

func (st *state) deleteIn(
	tx *writeTx, req *pb.DeleteRangeRequest,
) (*pb.DeleteRangeResponse, error) {
	if len(req.Key) == 0 {
		return nil, rpctypes.ErrGRPCEmptyKey
	}
	deleted := st.kv.del(tx, req.Key, req.RangeEnd)
	for _, kv := range deleted {
		st.leases.detach(kv)
	}
	resp := &pb.DeleteRangeResponse{Deleted: int64(len(deleted))}
	if req.PrevKv {
		resp.PrevKvs = deleted
	}
	return resp, nil
}

func (st *state) compactLocked(req *pb.CompactionRequest) error {
	return st.kv.compact(req.Revision)
}

// serveRangeStream sends a range in chunks; header, more and count come with the last one.
func (s *Server) serveRangeStream(ss grpc.ServerStream) error {
	req := new(pb.RangeRequest)
	if err := ss.RecvMsg(req); err != nil {
		return err
	}
	msg, err := s.apply(answer((*state).rangeLocked), req, nil)
	if err != nil {
		return err
	}
	resp := msg.(*pb.RangeResponse)
	rest := resp.Kvs
	for len(rest) > s.opts.rangeChunk {
		chunk := &pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{
			Kvs: rest[:s.opts.rangeChunk]}}
		if err := ss.SendMsg(chunk); err != nil {
			return err
		}
		rest = rest[s.opts.rangeChunk:]
	}
	resp.Kvs = rest
	return ss.SendMsg(&pb.RangeStreamResponse{RangeResponse: resp})
}
