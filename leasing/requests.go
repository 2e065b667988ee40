package leasing

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// requestTimeout bounds each attempt of a request without a caller's context, so that a silent
// member does not delay it for long.
const requestTimeout = 2 * time.Second

// createdAt returns the condition that a key was created at a revision, or with 0 that it does not
// exist.
func createdAt(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", rev)
}

// firstIn returns the first key-value pair that the i-th operation of a transaction has read. It
// returns nil if the operation has read none, or if its answer is missing.
func firstIn(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	kvs, _ := txnanswer.Pairs(resp.Responses, i)
	return first(kvs)
}

func first(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// wait blocks until ch is closed and returns nil, or the error of ctx if that ends first.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
