package leasing

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// errShort is returned where a server's answer to a transaction lacks a part.
var errShort = errors.New("leasing: the answer to a transaction has fewer parts than were asked for")

type rangeResponse = pb.RangeResponse

// exists is the condition that a key was created at a revision; 0 is that there is
// no such key.
func exists(key string, created int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", created)
}

// part returns one of the answers to the ops of a transaction, nil where it is missing.
func part(resp *clientv3.TxnResponse, i int) *pb.ResponseOp {
	if i >= len(resp.Responses) {
		return nil
	}
	return resp.Responses[i]
}

// rangeIn is part for a get.
func rangeIn(resp *clientv3.TxnResponse, i int) *pb.RangeResponse {
	return part(resp, i).GetResponseRange()
}

// first returns the first key of a response, nil if there is none.
func first(resp *pb.RangeResponse) *mvccpb.KeyValue {
	if kvs := resp.GetKvs(); len(kvs) > 0 {
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
