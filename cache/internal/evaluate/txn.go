package evaluate

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// ReadOnly reports whether all operations of a transaction are ranges, and whether all of these are
// serializable. A nested transaction counts as a write, as it does for etcd.
func ReadOnly(req *pb.TxnRequest) (readOnly, serializable bool) {
	serializable = true
	for _, ops := range [][]*pb.RequestOp{req.Success, req.Failure} {
		for _, op := range ops {
			r := op.GetRequestRange()
			if r == nil {
				return false, false
			}
			serializable = serializable && r.Serializable
		}
	}
	return true, serializable
}

// Holds reports whether all comparisons of a transaction hold in the state k.
func Holds(k Keys, compares []*pb.Compare) bool {
	for _, c := range compares {
		if !holds(k, c) {
			return false
		}
	}
	return true
}

// holds reports whether one comparison holds in the state k. A comparison of a range holds if it
// holds for every key of the range. If the range has no key, a comparison of the value does not
// hold; revisions, version and lease are compared as 0.
func holds(k Keys, c *pb.Compare) bool {
	kvs := k.find(string(c.Key), string(c.RangeEnd), 0)
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
	order := 0
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
