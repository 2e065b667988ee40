package leasing

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// txn is a transaction of a leasingKV.
type txn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]

	// read-only after Txn
	kv  *leasingKV
	ctx context.Context
}

// Txn implements clientv3.KV.
func (l *leasingKV) Txn(ctx context.Context) clientv3.Txn {
	t := &txn{kv: l, ctx: ctx}
	t.Start(l.kv.Txn(ctx), t, txnbuilder.Rewrite[clientv3.Cmp, clientv3.Op]{})
	return t
}

// Commit implements clientv3.Txn.
func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	parts := t.Parts()
	return t.kv.txn(t.ctx, clientv3.OpTxn(parts.Cmps, parts.Then, parts.Else))
}
