package leasing

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// requestTimeout bounds each attempt of a request that no caller's context bounds, so that a silent
// member does not delay it for long.
const requestTimeout = 2 * time.Second

// repeatBackoff spaces requests and watches that are repeated until they succeed.
var repeatBackoff = backoff.Policy{Base: 20 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// createdAt is the condition that a key was created at a revision; 0 is that the key does not
// exist.
func createdAt(key string, rev int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", rev)
}

// firstIn returns the first key that the i-th operation of a transaction has read, nil if it has
// read none or the answer lacks it.
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

// wait blocks until ch is closed, or returns the error of ctx if that ends first.
func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bareContextError returns the error of a context in place of one that wraps it: callers compare
// it with the error of their context.
func bareContextError(err error) error {
	for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, end) {
			return end
		}
	}
	return err
}
