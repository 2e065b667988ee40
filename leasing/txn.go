package leasing

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// txn builds a transaction. The one it wraps checks the order of the calls.
type txn struct {
	// read-only after Txn
	l    *leasingKV
	ctx  context.Context
	base clientv3.Txn

	// guarded by mu
	mu               sync.Mutex
	cmps             []clientv3.Cmp
	thenOps, elseOps []clientv3.Op
}

// Txn implements clientv3.KV.
func (l *leasingKV) Txn(ctx context.Context) clientv3.Txn {
	return &txn{l: l, ctx: ctx, base: l.kv.Txn(ctx)}
}

// If implements clientv3.Txn.
func (t *txn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base.If(cs...)
	t.cmps = append(t.cmps, cs...)
	return t
}

// Then implements clientv3.Txn.
func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base.Then(ops...)
	t.thenOps = append(t.thenOps, ops...)
	return t
}

// Else implements clientv3.Txn.
func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base.Else(ops...)
	t.elseOps = append(t.elseOps, ops...)
	return t
}

// Commit implements clientv3.Txn.
func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	t.mu.Lock()
	op := clientv3.OpTxn(t.cmps, t.thenOps, t.elseOps)
	t.mu.Unlock()
	return t.l.txn(t.ctx, op)
}
