package kubernetes

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnanswer"
)

// Client is a [clientv3.Client] with an [Interface] on it.
type Client struct {
	*clientv3.Client

	// Kubernetes is the Interface to call. New sets it to the Client itself; a program can replace
	// it, for example by a decorator.
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
	if err != nil {
		return resp, err
	}
	rev, err := revision(got.Header)
	if err != nil {
		return resp, err
	}
	return GetResponse{KV: kv, Revision: rev}, nil
}

// List implements [Interface].
func (k Client) List(
	ctx context.Context, prefix string, opts ListOptions,
) (resp ListResponse, err error) {
	start := opts.Continue
	if start == "" {
		start = prefix
	}
	if start == "" {
		start = "\x00" // the lowest key there can be; servers refuse an empty one
	}
	got, err := k.KV.Get(ctx, start,
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)),
		clientv3.WithLimit(opts.Limit),
		clientv3.WithRev(opts.Revision))
	if err != nil {
		return resp, err
	}
	if err := txnanswer.CheckPairs(got.Kvs); err != nil {
		return resp, err
	}
	rev, err := revision(got.Header)
	if err != nil {
		return resp, err
	}
	return ListResponse{Kvs: got.Kvs, Count: got.Count, Revision: rev}, nil
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
	resp.Succeeded, resp.KV, resp.Revision, err = k.guarded(ctx, key, expectedRevision, put,
		opts.GetOnFailure)
	return resp, err
}

// OptimisticDelete implements [Interface].
func (k Client) OptimisticDelete(
	ctx context.Context, key string, expectedRevision int64, opts DeleteOptions,
) (resp DeleteResponse, err error) {
	del := clientv3.OpDelete(key)
	resp.Succeeded, resp.KV, resp.Revision, err = k.guarded(ctx, key, expectedRevision, del,
		opts.GetOnFailure)
	return resp, err
}

// guarded runs write if key was last modified at the revision rev, and otherwise gets the key if
// getOnFailure is set. It returns whether write was run, the key as the get has found it, and the
// revision of the store.
func (k Client) guarded(
	ctx context.Context, key string, rev int64, write clientv3.Op, getOnFailure bool,
) (bool, *mvccpb.KeyValue, int64, error) {
	txn := k.KV.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(write)
	if getOnFailure {
		txn = txn.Else(clientv3.OpGet(key))
	}
	resp, err := txn.Commit()
	if err != nil {
		return false, nil, 0, err
	}
	var kv *mvccpb.KeyValue
	if resp.Succeeded || getOnFailure {
		if kv, err = onlyAnswer(resp, write); err != nil {
			return false, nil, 0, err
		}
	}
	after, err := revision(resp.Header)
	if err != nil {
		return false, nil, 0, err
	}
	return resp.Succeeded, kv, after, nil
}

// onlyAnswer checks that a transaction has answered its one request: write if it succeeded, and
// otherwise a get. It returns the key-value pair that the get has found.
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

func revision(header *pb.ResponseHeader) (int64, error) {
	if header == nil {
		return 0, txnanswer.Errorf("no header")
	}
	return header.Revision, nil
}
