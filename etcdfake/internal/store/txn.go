package store

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func (s *Store) callTxn(c Caller, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := s.checkQuota(c, txnCost(req)); err != nil {
		return nil, err
	}
	if err := checkTxn(req); err != nil {
		return nil, err
	}
	if readOnly(req) {
		return s.readTxn(c, req)
	}
	who, err := s.propose(c, &pb.InternalRaftRequest{Txn: req})
	if err != nil {
		return nil, err
	}
	if err := s.refusedByAlarm(txnCost(req) > 0); err != nil {
		return nil, err
	}
	if err := s.mayTxn(who, req); err != nil {
		return nil, err
	}
	plan := s.planTxn(req)
	if err := s.checkPlan(plan); err != nil {
		return nil, err
	}
	tx := s.begin()
	resp := tx.run(plan)
	tx.commit()
	resp.Header = s.header(c)
	return resp, nil
}

// readOnly reports whether a transaction has only ranges. A transaction with a nested transaction
// counts as a write, even if the nested transaction only reads.
func readOnly(req *pb.TxnRequest) bool {
	return allOps(req, func(op *pb.RequestOp) bool { return op.GetRequestRange() != nil })
}

// Serializable reports whether a transaction has only serializable ranges.
func Serializable(req *pb.TxnRequest) bool {
	return allOps(req, func(op *pb.RequestOp) bool {
		return op.GetRequestRange().GetSerializable()
	})
}

func allOps(req *pb.TxnRequest, ok func(*pb.RequestOp) bool) bool {
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			if !ok(op) {
				return false
			}
		}
	}
	return true
}

// readTxn answers a transaction that only reads. All its comparisons and ranges see the same
// revision.
func (s *Store) readTxn(c Caller, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	who, err := s.identify(c)
	if err != nil {
		return nil, err
	}
	if err := s.mayTxn(who, req); err != nil {
		return nil, err
	}
	plan := s.planTxn(req)
	if err := s.checkPlan(plan); err != nil {
		return nil, err
	}
	resp := s.begin().run(plan)
	resp.Header = s.header(c)
	return resp, nil
}

// txnPlan is a transaction whose comparisons have been evaluated. As in etcd, the comparisons of
// nested transactions are evaluated before the transaction writes anything.
type txnPlan struct {
	succeeded bool
	ops       []*pb.RequestOp // the branch to run: the success or the failure operations
	nested    []*txnPlan      // the plans of the nested transactions in ops, in order
}

func (s *Store) planTxn(req *pb.TxnRequest) *txnPlan {
	plan := &txnPlan{succeeded: s.allHold(req.Compare), ops: req.Failure}
	if plan.succeeded {
		plan.ops = req.Success
	}
	for _, op := range plan.ops {
		if nested := op.GetRequestTxn(); nested != nil {
			plan.nested = append(plan.nested, s.planTxn(nested))
		}
	}
	return plan
}

// checkPlan returns the error of the first operation in the plan that cannot run, or nil if all
// operations can run.
func (s *Store) checkPlan(plan *txnPlan) error {
	nested := plan.nested
	for _, op := range plan.ops {
		var err error
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = s.checkRangeIn(r.RequestRange)
		case *pb.RequestOp_RequestPut:
			err = s.checkPut(r.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = s.checkPlan(nested[0])
			nested = nested[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRangeIn returns the error of a range in a transaction, or nil. A negative revision can fail
// with ErrGRPCCompacted. Outside of a transaction it stands for the newest revision.
func (s *Store) checkRangeIn(req *pb.RangeRequest) error {
	switch {
	case req.Revision == 0:
		return nil
	case req.Revision > s.kv.rev:
		return rpctypes.ErrGRPCFutureRev
	case req.Revision < s.kv.compacted:
		return rpctypes.ErrGRPCCompacted
	}
	return nil
}

func (tx *writeTx) run(plan *txnPlan) *pb.TxnResponse {
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: plan.succeeded}
	nested := plan.nested
	for _, op := range plan.ops {
		out := new(pb.ResponseOp)
		switch r := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			out.Response = &pb.ResponseOp_ResponseRange{
				ResponseRange: tx.answerRange(r.RequestRange)}
		case *pb.RequestOp_RequestPut:
			out.Response = &pb.ResponseOp_ResponsePut{ResponsePut: tx.answerPut(r.RequestPut)}
		case *pb.RequestOp_RequestDeleteRange:
			out.Response = &pb.ResponseOp_ResponseDeleteRange{
				ResponseDeleteRange: tx.answerDelete(r.RequestDeleteRange)}
		case *pb.RequestOp_RequestTxn:
			out.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: tx.run(nested[0])}
			nested = nested[1:]
		}
		resp.Responses = append(resp.Responses, out)
	}
	return resp
}

// answerRange answers a range in a transaction. It cannot fail, because the revision of the range
// was checked before the transaction started.
func (tx *writeTx) answerRange(req *pb.RangeRequest) *pb.RangeResponse {
	resp, err := tx.s.kv.answerRange(req, tx.rev(), true)
	if err != nil {
		return &pb.RangeResponse{}
	}
	return resp
}

func (s *Store) allHold(compares []*pb.Compare) bool {
	for _, c := range compares {
		if !s.holds(c) {
			return false
		}
	}
	return true
}

// holds reports whether a comparison holds. A comparison over a range of keys must hold for every
// key in the range. If no key exists, a comparison of values does not hold, and any other
// comparison compares with 0.
func (s *Store) holds(c *pb.Compare) bool {
	kvs := s.kv.find(c.Key, c.RangeEnd, s.kv.rev)
	if len(kvs) == 0 {
		return c.Target != pb.Compare_VALUE && holdsFor(c, &mvccpb.KeyValue{})
	}
	for _, kv := range kvs {
		if !holdsFor(c, kv) {
			return false
		}
	}
	return true
}

func holdsFor(c *pb.Compare, kv *mvccpb.KeyValue) bool {
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
	case pb.Compare_LESS:
		return order < 0
	}
	return true
}
