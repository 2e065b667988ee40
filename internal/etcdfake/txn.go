package etcdfake

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func (st *state) txnLocked(hdr *pb.ResponseHeader, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := st.checkTxn(req); err != nil {
		return nil, err
	}
	tx := st.kv.begin()
	resp, err := st.txnIn(tx, req)
	st.commitLocked(tx)
	if err != nil {
		return nil, err
	}
	resp.Header = hdr
	return resp, nil
}

func (st *state) txnIn(tx *writeTx, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: st.holds(req.Compare)}
	ops := req.Failure
	if resp.Succeeded {
		ops = req.Success
	}
	for _, op := range ops {
		r, err := st.opIn(tx, op)
		if err != nil {
			return nil, err
		}
		resp.Responses = append(resp.Responses, r)
	}
	return resp, nil
}

func (st *state) opIn(tx *writeTx, op *pb.RequestOp) (*pb.ResponseOp, error) {
	hdr := &pb.ResponseHeader{Revision: tx.rev}
	switch r := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		resp, err := st.rangeLocked(hdr, r.RequestRange)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: resp}}, err
	case *pb.RequestOp_RequestPut:
		resp, err := st.putIn(tx, hdr, r.RequestPut)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: resp}}, err
	case *pb.RequestOp_RequestDeleteRange:
		resp, err := st.deleteIn(tx, hdr, r.RequestDeleteRange)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: resp}}, err
	case *pb.RequestOp_RequestTxn:
		resp, err := st.txnIn(tx, r.RequestTxn)
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: resp}}, err
	}
	return &pb.ResponseOp{}, nil
}

// holds tells whether all comparisons are true. A comparison over a range is true when it is for every key in it; a missing
// single key compares as zero, and not at all by value.
func (st *state) holds(compares []*pb.Compare) bool {
	for _, c := range compares {
		kvs := st.kv.find(c.Key, c.RangeEnd, 0)
		if len(kvs) == 0 && len(c.RangeEnd) == 0 {
			if c.Target == pb.Compare_VALUE {
				return false
			}
			kvs = []*keyValue{{}}
		}
		for _, kv := range kvs {
			if !compareHolds(c, kv) {
				return false
			}
		}
	}
	return true
}

func compareHolds(c *pb.Compare, kv *keyValue) bool {
	var order int
	switch c.Target {
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VALUE:
		order = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_GREATER:
		return order > 0
	default:
		return order < 0
	}
}

// checkTxn refuses what must not be applied in part: both branches are checked before anything is written.
func (st *state) checkTxn(req *pb.TxnRequest) error {
	for _, c := range req.Compare {
		if len(c.Key) == 0 {
			return rpctypes.ErrGRPCEmptyKey
		}
	}
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		if _, err := st.checkOps(ops, nil); err != nil {
			return err
		}
	}
	return nil
}

// written are the intervals that the operations of a branch write, single keys included.
type written struct {
	key, end []byte
	put      bool
}

// checkOps refuses a branch that puts a key twice, or puts a key that it deletes, and returns what it writes.
func (st *state) checkOps(ops []*pb.RequestOp, seen []written) ([]written, error) {
	for _, op := range ops {
		var err error
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			if len(r.RequestRange.Key) == 0 {
				err = rpctypes.ErrGRPCEmptyKey
			} else {
				err = st.kv.check(r.RequestRange.Revision)
			}
		case *pb.RequestOp_RequestPut:
			if err = st.checkPut(r.RequestPut); err == nil {
				seen, err = addWritten(seen, written{key: r.RequestPut.Key, put: true})
			}
		case *pb.RequestOp_RequestDeleteRange:
			if len(r.RequestDeleteRange.Key) == 0 {
				err = rpctypes.ErrGRPCEmptyKey
			} else {
				seen, err = addWritten(seen, written{key: r.RequestDeleteRange.Key, end: r.RequestDeleteRange.RangeEnd})
			}
		case *pb.RequestOp_RequestTxn:
			seen, err = st.checkNested(r.RequestTxn, seen)
		}
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// checkNested checks a transaction in a transaction: its branches may write the same keys, since only one of them runs.
func (st *state) checkNested(req *pb.TxnRequest, seen []written) ([]written, error) {
	n := len(seen)
	success, err := st.checkOps(req.Success, seen[:n:n])
	if err != nil {
		return nil, err
	}
	failure, err := st.checkOps(req.Failure, seen[:n:n])
	if err != nil {
		return nil, err
	}
	return append(success[:len(success):len(success)], failure[n:]...), nil
}

func addWritten(seen []written, w written) ([]written, error) {
	for _, old := range seen {
		if old.put && inRange(old.key, w.key, w.end) || w.put && inRange(w.key, old.key, old.end) {
			return nil, rpctypes.ErrGRPCDuplicateKey
		}
	}
	return append(seen, w), nil
}
