package namespace

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// prefixTxn is a transaction of a namespace.
type prefixTxn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]
	space // read-only after Txn
}

func (kv *prefixKV) Txn(ctx context.Context) clientv3.Txn {
	t := &prefixTxn{space: kv.space}
	t.Start(kv.KV.Txn(ctx), t,
		txnbuilder.Rewrite[clientv3.Cmp, clientv3.Op]{Cmps: t.cmps, Ops: t.ops})
	return t
}

func (t *prefixTxn) Commit() (*clientv3.TxnResponse, error) {
	parts := t.Parts()
	if parts.Err != nil {
		return nil, parts.Err
	}
	resp, err := parts.Inner.Commit()
	if err != nil {
		return nil, err
	}
	t.txn((*pb.TxnResponse)(resp))
	return resp, nil
}
