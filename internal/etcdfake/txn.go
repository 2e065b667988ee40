package etcdfake

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// txnPlan is a transaction whose comparisons have been decided. As in etcd, those of nested
// transactions are decided before anything is written too.
type txnPlan struct {
	succeeded bool
	ops       []*pb.RequestOp // the branch to run
	nested    []*txnPlan      // of the transactions in ops, in order
}

func (st *state) txnLocked(req *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := checkTxn(req); err != nil {
		return nil, err
	}
	plan := st.planTxn(req)
	if err := st.checkPlan(plan); err != nil {
		return nil, err
	}
	tx := st.kv.begin()
	resp, err := st.runPlan(tx, plan)
	st.commitLocked(tx)
	return resp, err
}

func (st *state) planTxn(req *pb.TxnRequest) *txnPlan {
	plan := &txnPlan{succeeded: st.holds(req.Compare), ops: req.Failure}
	if plan.succeeded {
		plan.ops = req.Success
	}
	for _, op := range plan.ops {
		if nested := op.GetRequestTxn(); nested != nil {
			plan.nested = append(plan.nested, st.planTxn(nested))
		}
	}
	return plan
}

// checkPlan refuses a transaction of which an operation that would run cannot.
func (st *state) checkPlan(plan *txnPlan) error {
	nested := plan.nested
	for _, op := range plan.ops {
		var err error
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = st.kv.check(r.RequestRange.Revision)
		case *pb.RequestOp_RequestPut:
			err = st.checkPut(r.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = st.checkPlan(nested[0])
			nested = nested[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (st *state) runPlan(tx *writeTx, plan *txnPlan) (*pb.TxnResponse, error) {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: plan.succeeded}
	nested := plan.nested
	for _, op := range plan.ops {
		out := new(pb.ResponseOp)
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			answer, err := st.rangeLocked(r.RequestRange)
			if err != nil {
				return nil, err
			}
			answer.Header = tx.header()
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: answer}
		case *pb.RequestOp_RequestPut:
			answer, err := st.putIn(tx, r.RequestPut)
			if err != nil {
				return nil, err
			}
			answer.Header = tx.header()
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: answer}
		case *pb.RequestOp_RequestDeleteRange:
			answer, err := st.deleteIn(tx, r.RequestDeleteRange)
			if err != nil {
				return nil, err
			}
			answer.Header = tx.header()
			out.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: answer}
		case *pb.RequestOp_RequestTxn:
			answer, err := st.runPlan(tx, nested[0])
			if err != nil {
				return nil, err
			}
			nested = nested[1:]
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: answer}
		}
		resp.Responses = append(resp.Responses, out)
	}
	return resp, nil
}

// holds tells whether all comparisons are true. One over a range is true when it is for every key
// in it. Where there is no key, a comparison is with zero, and one of values is false.
func (st *state) holds(compares []*pb.Compare) bool {
	for _, c := range compares {
		kvs := st.kv.find(c.Key, c.RangeEnd, 0)
		if len(kvs) == 0 {
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
