package namespace

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// prefixTxn hands the parts of a transaction on to the inner KV's builder, which also checks
// the order of the calls.
type prefixTxn struct {
	space // read-only after Txn

	// guarded by mu
	mu    sync.Mutex
	inner clientv3.Txn
	err   error // the first that a part had
}

func (kv *prefixKV) Txn(ctx context.Context) clientv3.Txn {
	return &prefixTxn{space: kv.space, inner: kv.KV.Txn(ctx)}
}

func (t *prefixTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	outer, err := t.cmps(cs)
	t.inner = t.inner.If(outer...)
	t.failLocked(err)
	return t
}

func (t *prefixTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	outer, err := t.ops(ops)
	t.inner = t.inner.Then(outer...)
	t.failLocked(err)
	return t
}

func (t *prefixTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	outer, err := t.ops(ops)
	t.inner = t.inner.Else(outer...)
	t.failLocked(err)
	return t
}

func (t *prefixTxn) failLocked(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *prefixTxn) Commit() (*clientv3.TxnResponse, error) {
	t.mu.Lock()
	inner, err := t.inner, t.err
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	resp, err := inner.Commit()
	if err != nil {
		return nil, err
	}
	t.txn((*pb.TxnResponse)(resp))
	return resp, nil
}
