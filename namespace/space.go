package namespace

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// space is one namespace: the keys of the cluster that begin with prefix. It is immutable.
type space struct {
	prefix []byte
	end    []byte // the lowest key above all keys with the prefix; endOfKeys if no such key exists
}

// endOfKeys has two meanings. As the end of a range (RangeRequest.range_end), it means that the
// range has no upper bound. As a key, it is the lowest key.
var endOfKeys = []byte{0}

func newSpace(prefix string) space {
	return space{prefix: []byte(prefix), end: []byte(clientv3.GetPrefixRangeEnd(prefix))}
}

// enter translates a key or a range of the namespace into one of the cluster, by adding the prefix.
// If end is empty, key is a single key, and outerEnd is empty, too. For a range without an upper
// bound, outerEnd is s.end, the lowest key above the namespace. If the prefix has only 0xff bytes,
// there is no such key, and the range has no upper bound in the cluster either.
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

// op puts the prefix before the keys of an operation. If the operation is of a kind that KV.Do
// refuses, op returns it unchanged, and Do returns the error.
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

// response removes the prefix from the keys of a cluster's response, and drops keys without the
// prefix. It changes the response in place, because a response belongs to its caller. At most one
// argument is set; the others are nil.
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

// pairs returns the key-value pairs of kvs whose keys have the prefix, and removes the prefix from
// their keys. It reuses the memory of kvs.
func (s space) pairs(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	own := kvs[:0]
	for _, kv := range kvs {
		if s.leave(kv) {
			own = append(own, kv)
		}
	}
	return own
}

// leave removes the prefix from the key of kv. It returns false if the key does not have the prefix
// or kv is nil.
func (s space) leave(kv *mvccpb.KeyValue) bool {
	key, ok := s.inner(kv.GetKey())
	if ok && kv != nil {
		kv.Key = key
	}
	return ok && kv != nil
}

// inner removes the prefix from a key of the cluster. ok is false if the key does not have the
// prefix.
func (s space) inner(key []byte) (inner []byte, ok bool) { return bytes.CutPrefix(key, s.prefix) }
