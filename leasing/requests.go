package leasing

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// exists is the condition that a key was created at a revision; 0 is that there is
// no such key.
func exists(key string, created int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", created)
}

// firstIn returns the first key that one of the gets of a transaction has found, nil if it has
// found none or was not answered.
func firstIn(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	kvs, _ := txnanswer.Pairs(resp.Responses, i)
	return first(kvs)
}

// first returns the first of some keys, nil if there is none.
func first(kvs []*mvccpb.KeyValue) *mvccpb.KeyValue {
	if len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// bareContextError returns the error of a context itself in place of one that wraps
// it and tells more: callers compare it with that of their context.
func bareContextError(err error) error {
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, end) {
			return end
		}
	}
	return err
}
