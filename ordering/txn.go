package ordering

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// orderedTxn is a transaction of an orderedKV.
type orderedTxn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]

	// read-only after Txn
	kv  *orderedKV
	ctx context.Context
}

func (kv *orderedKV) Txn(ctx context.Context) clientv3.Txn {
	t := &orderedTxn{kv: kv, ctx: ctx}
	t.Start(kv.KV.Txn(ctx), t, txnbuilder.Rewrite[clientv3.Cmp, clientv3.Op]{})
	return t
}

func (t *orderedTxn) Commit() (*clientv3.TxnResponse, error) {
	parts := t.Parts()
	op := clientv3.OpTxn(parts.Cmps, parts.Then, parts.Else)
	resp, err := t.kv.inOrder(t.ctx, op, func() (clientv3.OpResponse, error) {
		resp, err := parts.Inner.Commit()
		return resp.OpResponse(), err
	})
	return resp.Txn(), err
}
