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
	end    []byte // the lowest key above the prefix; endOfKeys if there is none
}

// endOfKeys as the end of a range means that the range has no upper bound (RangeRequest.range_end).
// As a key it is the lowest one.
var endOfKeys = []byte{0}

func newSpace(prefix string) space {
	return space{prefix: []byte(prefix), end: []byte(clientv3.GetPrefixRangeEnd(prefix))}
}

// enter returns the cluster's key for a key of the namespace, and the end of the cluster's range
// for the range from that key to end. An empty end stands for the single key. The end of the key
// space becomes the end of the prefix, which for a prefix of 0xff bytes is the end of the key
// space.
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

// op returns the cluster's operation for an operation of the namespace. It does not change an
// operation that KV.Do refuses.
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

// response changes a response of the cluster into that of the namespace. It does so in place,
// because a response belongs to its caller. All arguments but one are nil.
func (s space) response(
	put *pb.PutResponse, get *pb.RangeResponse, del *pb.DeleteRangeResponse, txn *pb.TxnResponse,
) {
	if put != nil && !s.leave(put.PrevKv) {
		put.PrevKv = nil
	}
	if get != nil {
		get.Kvs = s.pairs(get.Kvs)
	}
	if del != nil {
		del.PrevKvs = s.pairs(del.PrevKvs)
	}
	for _, r := range txn.GetResponses() {
		s.response(r.GetResponsePut(), r.GetResponseRange(), r.GetResponseDeleteRange(),
			r.GetResponseTxn())
	}
}

// pairs returns the key-value pairs that are in the namespace, without the prefix. It overwrites
// kvs.
func (s space) pairs(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	own := kvs[:0]
	for _, kv := range kvs {
		if s.leave(kv) {
			own = append(own, kv)
		}
	}
	return own
}

// leave removes the prefix from the key of kv, and reports whether the key has it.
func (s space) leave(kv *mvccpb.KeyValue) bool {
	key, ok := s.inner(kv.GetKey())
	if ok && kv != nil {
		kv.Key = key
	}
	return ok && kv != nil
}

// inner returns the namespace's key for a key of the cluster, and whether that key is in the
// namespace.
func (s space) inner(key []byte) ([]byte, bool) { return bytes.CutPrefix(key, s.prefix) }
