package namespace

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// space is the part of the key space that begins with a prefix. It is immutable.
type space struct {
	prefix []byte
	end    []byte // the lowest key above it; endOfKeys where there is none
}

// endOfKeys as a range's end stands for the end of the key space, and is the lowest key
// there can be (RangeRequest.range_end).
var endOfKeys = []byte{0}

func newSpace(prefix string) space {
	return space{prefix: []byte(prefix), end: []byte(clientv3.GetPrefixRangeEnd(prefix))}
}

// enter turns a key of the namespace, and the end of the range that begins there, into
// those of the cluster. An empty end means that key is all.
func (s space) enter(key, end []byte) (outerKey, outerEnd []byte) {
	switch {
	case len(end) == 0:
	case bytes.Equal(end, endOfKeys):
		outerEnd = s.end
	default:
		outerEnd = s.outer(end)
	}
	return s.outer(key), outerEnd
}

func (s space) outer(key []byte) []byte {
	return append(append(make([]byte, 0, len(s.prefix)+len(key)), s.prefix...), key...)
}

// op turns an op of the namespace into one of the cluster. What KV.Do does not run is
// returned as it is.
func (s space) op(op clientv3.Op) (clientv3.Op, error) {
	switch {
	case op.IsTxn():
		cmps, thenOps, elseOps := op.Txn()
		cmps, err := s.cmps(cmps)
		if err != nil {
			return op, err
		}
		if thenOps, err = s.ops(thenOps); err != nil {
			return op, err
		}
		elseOps, err = s.ops(elseOps)
		return clientv3.OpTxn(cmps, thenOps, elseOps), err
	case op.IsGet() || op.IsPut() || op.IsDelete():
		if len(op.KeyBytes()) == 0 {
			return op, rpctypes.ErrEmptyKey
		}
		key, end := s.enter(op.KeyBytes(), op.RangeBytes())
		op.WithKeyBytes(key)
		op.WithRangeBytes(end)
	}
	return op, nil
}

func (s space) ops(ops []clientv3.Op) ([]clientv3.Op, error) {
	outer := make([]clientv3.Op, len(ops))
	for i, op := range ops {
		var err error
		if outer[i], err = s.op(op); err != nil {
			return nil, err
		}
	}
	return outer, nil
}

func (s space) cmps(cmps []clientv3.Cmp) ([]clientv3.Cmp, error) {
	outer := make([]clientv3.Cmp, len(cmps))
	for i, cmp := range cmps {
		if len(cmp.KeyBytes()) == 0 {
			return nil, rpctypes.ErrEmptyKey
		}
		key, end := s.enter(cmp.KeyBytes(), cmp.GetCompare().RangeEnd)
		cmp.WithKeyBytes(key)
		if len(end) > 0 {
			cmp = cmp.WithRange(string(end))
		}
		outer[i] = cmp
	}
	return outer, nil
}

// The methods below turn answers of the cluster into those of the namespace, in place:
// an answer belongs to the caller whom it is returned to.

func (s space) response(resp clientv3.OpResponse) {
	s.put((*pb.PutResponse)(resp.Put()))
	s.get((*pb.RangeResponse)(resp.Get()))
	s.del((*pb.DeleteRangeResponse)(resp.Del()))
	s.txn((*pb.TxnResponse)(resp.Txn()))
}

func (s space) put(resp *pb.PutResponse) {
	if resp != nil && !s.leave(resp.PrevKv) {
		resp.PrevKv = nil
	}
}

func (s space) get(resp *pb.RangeResponse) {
	if resp != nil {
		resp.Kvs = s.pairs(resp.Kvs)
	}
}

func (s space) del(resp *pb.DeleteRangeResponse) {
	if resp != nil {
		resp.PrevKvs = s.pairs(resp.PrevKvs)
	}
}

func (s space) txn(resp *pb.TxnResponse) {
	for _, r := range resp.GetResponses() {
		s.put(r.GetResponsePut())
		s.get(r.GetResponseRange())
		s.del(r.GetResponseDeleteRange())
		s.txn(r.GetResponseTxn())
	}
}

// pairs returns those of kvs that are in the namespace.
func (s space) pairs(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	own := kvs[:0]
	for _, kv := range kvs {
		if s.leave(kv) {
			own = append(own, kv)
		}
	}
	return own
}

// leave takes the prefix off the key, and reports false where it has none.
func (s space) leave(kv *mvccpb.KeyValue) bool {
	key, ok := s.inner(kv.GetKey())
	if ok && kv != nil {
		kv.Key = key
	}
	return ok && kv != nil
}

// inner returns what a key of the cluster is called in the namespace.
func (s space) inner(key []byte) ([]byte, bool) { return bytes.CutPrefix(key, s.prefix) }
