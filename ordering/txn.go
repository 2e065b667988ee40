package ordering

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// orderedTxn builds a transaction twice: in the inner KV's own builder, which checks the
// order of the calls and is committed, and as the parts of an op, to judge it by.
type orderedTxn struct {
	// read-only after Txn
	kv    *orderedKV
	ctx   context.Context
	inner clientv3.Txn

	// guarded by mu
	mu      sync.Mutex
	cmps    []clientv3.Cmp
	thenOps []clientv3.Op
	elseOps []clientv3.Op
}

func (kv *orderedKV) Txn(ctx context.Context) clientv3.Txn {
	return &orderedTxn{kv: kv, ctx: ctx, inner: kv.KV.Txn(ctx)}
}

func (t *orderedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inner = t.inner.If(cs...)
	t.cmps = append(t.cmps, cs...)
	return t
}

func (t *orderedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inner = t.inner.Then(ops...)
	t.thenOps = append(t.thenOps, ops...)
	return t
}

func (t *orderedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inner = t.inner.Else(ops...)
	t.elseOps = append(t.elseOps, ops...)
	return t
}

func (t *orderedTxn) Commit() (*clientv3.TxnResponse, error) {
	t.mu.Lock()
	inner, op := t.inner, clientv3.OpTxn(t.cmps, t.thenOps, t.elseOps)
	t.mu.Unlock()
	resp, err := t.kv.inOrder(t.ctx, op, func() (clientv3.OpResponse, error) {
		resp, err := inner.Commit()
		return resp.OpResponse(), err
	})
	return resp.Txn(), err
}
