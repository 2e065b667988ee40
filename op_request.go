package clientv3

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Each of the methods in this file returns the protobuf request for an op. The request shares the
// byte slices of the op.

func (op *Op) rangeRequest() *pb.RangeRequest {
	return &pb.RangeRequest{
		Key:      op.key,
		RangeEnd: op.end,

		Revision:     op.rev,
		Serializable: op.serializable,
		CountOnly:    op.countOnly,
		KeysOnly:     op.keysOnly,

		MinCreateRevision: op.minCreateRev,
		MaxCreateRevision: op.maxCreateRev,
		MinModRevision:    op.minModRev,
		MaxModRevision:    op.maxModRev,

		SortTarget: pb.RangeRequest_SortTarget(op.sort.Target),
		SortOrder:  pb.RangeRequest_SortOrder(op.sort.Order),
		Limit:      op.limit,
	}
}

func (op *Op) putRequest() *pb.PutRequest {
	return &pb.PutRequest{
		Key:         op.key,
		Value:       op.value,
		Lease:       int64(op.lease),
		PrevKv:      op.prevKV,
		IgnoreValue: op.ignoreValue,
		IgnoreLease: op.ignoreLease,
	}
}

func (op *Op) deleteRequest() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: op.key, RangeEnd: op.end, PrevKv: op.prevKV}
}

func (op *CompactOp) request() *pb.CompactionRequest {
	return &pb.CompactionRequest{Revision: op.revision, Physical: op.physical}
}

// watchCreateRequest returns the request that creates the watch. The request has no watch id yet.
func (op *Op) watchCreateRequest() *pb.WatchCreateRequest {
	req := &pb.WatchCreateRequest{
		Key:            op.key,
		RangeEnd:       op.end,
		StartRevision:  op.rev,
		ProgressNotify: op.progressNotify,
		PrevKv:         op.prevKV,
		Fragment:       op.fragment,
	}
	if op.filterPut {
		req.Filters = append(req.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if op.filterDelete {
		req.Filters = append(req.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return req
}

// txnRequest returns the request of the transaction. It returns an error if an op, at any depth,
// cannot run in a transaction or has a sort that the protocol does not know.
func (t *txnParts) txnRequest() (*pb.TxnRequest, error) {
	req := &pb.TxnRequest{Compare: make([]*pb.Compare, len(t.cmps))}
	for i := range t.cmps {
		req.Compare[i] = t.cmps[i].GetCompare()
	}
	var err error
	if req.Success, err = requestOps(t.thenOps); err != nil {
		return nil, err
	}
	req.Failure, err = requestOps(t.elseOps)
	return req, err
}

func requestOps(ops []Op) ([]*pb.RequestOp, error) {
	reqs := make([]*pb.RequestOp, len(ops))
	for i := range ops {
		req, err := ops[i].requestOp()
		if err != nil {
			return nil, err
		}
		reqs[i] = req
	}
	return reqs, nil
}

func (op *Op) requestOp() (*pb.RequestOp, error) {
	switch op.kind {
	case kindGet:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: op.rangeRequest()}},
			op.sort.check()
	case kindPut:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: op.putRequest()}}, nil
	case kindDelete:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: op.deleteRequest()}}, nil
	case kindTxn:
		req, err := op.txn.txnRequest()
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: req}}, err
	default:
		return nil, fmt.Errorf("etcdclient: %s with key %q cannot run in a txn", op.kind, op.key)
	}
}
