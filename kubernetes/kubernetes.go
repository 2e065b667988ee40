// Package kubernetes has the part of a client that Kubernetes needs. It reads single keys and
// prefixes, and its writes are guarded by the revision of the key.
//
//	client, err := kubernetes.New(clientv3.Config{Endpoints: endpoints})
//	pod, err := client.Kubernetes.Get(ctx, "pods/a", kubernetes.GetOptions{})
//	put, err := client.Kubernetes.OptimisticPut(ctx, "pods/a", value, pod.KV.ModRevision,
//		kubernetes.PutOptions{}) // put.Succeeded is false if the pod has changed
//
// For watches, leases and all other requests, use the embedded clientv3.Client.
package kubernetes

import (
	"cmp"
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// Interface holds the requests that Kubernetes sends to etcd. All methods are safe for concurrent
// use.
//
// Reads are linearizable. Each call sends one request and blocks until it is answered or its
// context ends. Errors and retries are those of [clientv3.KV]. After OptimisticPut or
// OptimisticDelete returns an error, the write may have been applied. If the server's response is
// malformed, for example without a header, the method returns an error.
type Interface interface {
	// Get returns the key-value pair of a key, or nil and no error if the key does not exist.
	Get(ctx context.Context, key string, opts GetOptions) (GetResponse, error)

	// List returns the key-value pairs of all keys that begin with prefix, in the order of the
	// keys. An empty prefix means all keys.
	List(ctx context.Context, prefix string, opts ListOptions) (ListResponse, error)

	// Count returns the number of keys that begin with prefix, without reading them. An empty
	// prefix means all keys.
	Count(ctx context.Context, prefix string, opts CountOptions) (int64, error)

	// OptimisticPut sets a key to a value if the mod revision of the key is expectedRevision. An
	// expectedRevision of 0 means that the key must not exist. If the mod revision differs, nothing
	// is written, Succeeded is false, and the error is nil.
	OptimisticPut(
		ctx context.Context, key string, value []byte, expectedRevision int64, opts PutOptions,
	) (PutResponse, error)

	// OptimisticDelete deletes a key if the mod revision of the key is expectedRevision. If the mod
	// revision differs, nothing is deleted, Succeeded is false, and the error is nil. With an
	// expectedRevision of 0, Succeeded is true if the key does not exist.
	OptimisticDelete(
		ctx context.Context, key string, expectedRevision int64, opts DeleteOptions,
	) (DeleteResponse, error)
}

// GetOptions are the options of [Interface.Get].
type GetOptions struct {
	// Revision is the revision to read at; 0 means the newest. If the revision was compacted, the
	// error is rpctypes.ErrCompacted. If it is in the future, the error is rpctypes.ErrFutureRev.
	Revision int64
}

// ListOptions are the options of [Interface.List].
type ListOptions struct {
	// Revision is the revision to read at; 0 means the newest. If the revision was compacted, the
	// error is rpctypes.ErrCompacted. If it is in the future, the error is rpctypes.ErrFutureRev.
	// To get consistent pages, read every further page at the Revision of the first page's
	// response.
	Revision int64

	// Limit is the greatest number of keys to return; 0 means no limit.
	Limit int64

	// Continue is the key to begin with, instead of the first key with the prefix. To get the next
	// page, set Continue to the last key of the previous page with "\x00" appended.
	Continue string
}

// CountOptions are the options of [Interface.Count]. There are none.
type CountOptions struct{}

// PutOptions are the options of [Interface.OptimisticPut].
type PutOptions struct {
	// GetOnFailure makes the server return the current key-value pair, in PutResponse.KV, if the
	// mod revision of the key is not the expected one.
	GetOnFailure bool

	// LeaseID is the lease to which the put attaches the key. With [clientv3.NoLease], the put
	// detaches the key from the lease that it had.
	LeaseID clientv3.LeaseID
}

// DeleteOptions are the options of [Interface.OptimisticDelete].
type DeleteOptions struct {
	// GetOnFailure makes the server return the current key-value pair, in DeleteResponse.KV, if the
	// mod revision of the key is not the expected one.
	GetOnFailure bool
}

// GetResponse is the response to a Get.
type GetResponse struct {
	// KV is the key-value pair that was read, or nil if the key does not exist.
	KV *mvccpb.KeyValue

	// Revision is the newest revision of the store when the server answered, even if the options
	// asked for an older one.
	Revision int64
}

// ListResponse is the response to a List.
type ListResponse struct {
	// Kvs are the key-value pairs in the order of their keys.
	Kvs []*mvccpb.KeyValue

	// Count is the number of keys with the prefix, from the key ListOptions.Continue on. If
	// ListOptions.Limit cut the list short, Count is greater than the number of Kvs.
	Count int64

	// Revision is the newest revision of the store when the server answered, even if the options
	// asked for an older one.
	Revision int64
}

// PutResponse is the response to an OptimisticPut.
type PutResponse struct {
	// KV is nil if the put succeeded, if PutOptions.GetOnFailure is not set, or if the key does not
	// exist. Otherwise KV is the current key-value pair, whose mod revision was not the expected
	// one.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the value was written.
	Succeeded bool

	// Revision is the store's revision when the server answered. If the put succeeded, Revision is
	// the revision of the put.
	Revision int64
}

// DeleteResponse is the response to an OptimisticDelete.
type DeleteResponse struct {
	// KV is nil if the delete succeeded, if DeleteOptions.GetOnFailure is not set, or if the key
	// does not exist. Otherwise KV is the current key-value pair, whose mod revision was not the
	// expected one.
	KV *mvccpb.KeyValue

	// Succeeded reports whether the mod revision was the expected one. If Succeeded is true, the
	// key does not exist after the request.
	Succeeded bool

	// Revision is the store's revision when the server answered. If a key was deleted, Revision is
	// the revision of the delete.
	Revision int64
}

// Client is a [clientv3.Client] that also has the methods of [Interface].
type Client struct {
	*clientv3.Client

	// Kubernetes is the Interface that callers use. New sets it to the Client itself. A program can
	// replace it, for example by a decorator.
	Kubernetes Interface
}

var _ Interface = (*Client)(nil)

// New makes a client as [clientv3.New] does, with the same errors. The caller closes it.
func New(cfg clientv3.Config) (*Client, error) {
	cli, err := clientv3.New(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{Client: cli}
	c.Kubernetes = c
	return c, nil
}

// Get implements [Interface].
func (k Client) Get(
	ctx context.Context, key string, opts GetOptions,
) (resp GetResponse, err error) {
	got, err := k.KV.Get(ctx, key, clientv3.WithRev(opts.Revision), clientv3.WithLimit(1))
	if err != nil {
		return resp, err
	}
	kv, err := txnanswer.OnlyPair((*pb.RangeResponse)(got))
	if err = cmp.Or(err, checkHeader(got.Header)); err != nil {
		return resp, err
	}
	return GetResponse{KV: kv, Revision: got.Header.Revision}, nil
}

// List implements [Interface].
func (k Client) List(
	ctx context.Context, prefix string, opts ListOptions,
) (resp ListResponse, err error) {
	const lowest = "\x00" // the lowest possible key; servers refuse an empty key
	start := cmp.Or(opts.Continue, prefix, lowest)
	got, err := k.KV.Get(ctx, start,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)),
		clientv3.WithLimit(opts.Limit),
		clientv3.WithRev(opts.Revision))
	if err != nil {
		return resp, err
	}
	err = cmp.Or(txnanswer.CheckPairs(got.Kvs), checkHeader(got.Header))
	if err != nil {
		return resp, err
	}
	return ListResponse{Kvs: got.Kvs, Count: got.Count, Revision: got.Header.Revision}, nil
}

// Count implements [Interface].
func (k Client) Count(ctx context.Context, prefix string, _ CountOptions) (int64, error) {
	got, err := k.KV.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return got.Count, nil
}

// OptimisticPut implements [Interface].
func (k Client) OptimisticPut(
	ctx context.Context, key string, value []byte, expectedRevision int64, opts PutOptions,
) (resp PutResponse, err error) {
	put := clientv3.OpPut(key, "", clientv3.WithLease(opts.LeaseID))
	put.WithValueBytes(value)
	return k.guarded(ctx, key, expectedRevision, put, opts.GetOnFailure)
}

// OptimisticDelete implements [Interface].
func (k Client) OptimisticDelete(
	ctx context.Context, key string, expectedRevision int64, opts DeleteOptions,
) (resp DeleteResponse, err error) {
	del := clientv3.OpDelete(key)
	put, err := k.guarded(ctx, key, expectedRevision, del, opts.GetOnFailure)
	return DeleteResponse(put), err
}

// guarded runs the operation write if the mod revision of the key is rev. If the revision differs
// and getOnFailure is set, it reads the key instead, and the response has the key-value pair that
// was read.
func (k Client) guarded(
	ctx context.Context, key string, rev int64, write clientv3.Op, getOnFailure bool,
) (resp PutResponse, err error) {
	txn := k.KV.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(write)
	if getOnFailure {
		txn = txn.Else(clientv3.OpGet(key))
	}
	got, err := txn.Commit()
	if err != nil {
		return resp, err
	}
	var kv *mvccpb.KeyValue
	if got.Succeeded || getOnFailure {
		kv, err = onlyAnswer(got, write)
	}
	if err = cmp.Or(err, checkHeader(got.Header)); err != nil {
		return resp, err
	}
	return PutResponse{KV: kv, Succeeded: got.Succeeded, Revision: got.Header.Revision}, nil
}

// onlyAnswer checks the response to a transaction of one operation, and returns what its get found.
// The response must have exactly one part. If the transaction succeeded, this part must be a
// response to the operation write. If not, it must be a response to a get, and onlyAnswer returns
// its key-value pair, or nil.
func onlyAnswer(resp *clientv3.TxnResponse, write clientv3.Op) (*mvccpb.KeyValue, error) {
	err := txnanswer.CheckCount(resp.Responses, 1)
	if err != nil {
		return nil, err
	}
	switch {
	case !resp.Succeeded:
		got, err := txnanswer.Range(resp.Responses, 0)
		if err != nil {
			return nil, err
		}
		return txnanswer.OnlyPair(got)
	case write.IsPut():
		_, err = txnanswer.Put(resp.Responses, 0)
	default:
		_, err = txnanswer.Delete(resp.Responses, 0)
	}
	return nil, err
}

func checkHeader(header *pb.ResponseHeader) error {
	if header == nil {
		return txnanswer.Errorf("no header")
	}
	return nil
}
