package namespace

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// prefixKV is the KV of a namespace. It decorates the embedded KV.
type prefixKV struct {
	clientv3.KV
	space
}

// NewKV returns a KV for the keys of kv that begin with prefix. Its errors are those of kv. The
// returned KV changes the responses of kv in place, so kv must neither keep nor share its
// responses. A client's KV does neither.
//
// GetStream delivers the range in pieces if kv is a client's KV, or a namespace of a client's KV.
// With any other KV, GetStream collects all pieces before it returns, and delivers them as one
// piece.
func NewKV(kv clientv3.KV, prefix string) clientv3.KV {
	return &prefixKV{KV: kv, space: newSpace(prefix)}
}

func (kv *prefixKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpGet(key, opts...))
	return resp.Get(), err
}

func (kv *prefixKV) Put(
	ctx context.Context, key, val string, opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpPut(key, val, opts...))
	return resp.Put(), err
}

func (kv *prefixKV) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpDelete(key, opts...))
	return resp.Del(), err
}

func (kv *prefixKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	op, err := kv.op(op)
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	resp, err := kv.KV.Do(ctx, op)
	if err != nil {
		return clientv3.OpResponse{}, err
	}
	kv.response((*pb.PutResponse)(resp.Put()), (*pb.RangeResponse)(resp.Get()),
		(*pb.DeleteRangeResponse)(resp.Del()), (*pb.TxnResponse)(resp.Txn()))
	return resp, nil
}

func (kv *prefixKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	return kv.GetStreamRewritten(ctx, nil, key, opts...)
}

// streamRewriter is a KV that runs a function on each piece of a GetStream before the piece is
// delivered. The KV of a client implements it.
type streamRewriter interface {
	GetStreamRewritten(
		ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
	) (clientv3.GetStreamChan, error)
}

// GetStreamRewritten is a GetStream that runs rewrite on each piece before the piece is delivered.
// A namespace that is made inside this one calls it to remove its prefix from the keys.
func (kv *prefixKV) GetStreamRewritten(
	ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op, err := kv.op(clientv3.OpGet(key, opts...))
	if err != nil {
		return nil, err
	}
	own := func(piece *pb.RangeResponse) {
		kv.response(nil, piece, nil, nil)
		if rewrite != nil {
			rewrite(piece)
		}
	}
	inner := kv.KV
	if client, ok := inner.(*clientv3.Client); ok {
		inner = client.KV
	}
	if inner, ok := inner.(streamRewriter); ok {
		return inner.GetStreamRewritten(ctx, own, string(op.KeyBytes()), exactly(op))
	}
	stream, err := inner.GetStream(ctx, string(op.KeyBytes()), exactly(op))
	if err != nil {
		return nil, err
	}
	whole, err := clientv3.GetStreamToGetResponse(stream)
	if err != nil {
		return nil, err
	}
	piece := (*pb.RangeResponse)(whole)
	own(piece)
	out := make(chan clientv3.RangeStreamResponse, 1)
	out <- clientv3.RangeStreamResponse{RangeResponse: piece}
	close(out)
	return out, nil
}

// exactly returns an option that replaces any Op by op. It passes op to inner methods that take
// options instead of an Op. The caller's own options have run when op was made, and must not run
// twice.
func exactly(op clientv3.Op) clientv3.OpOption {
	return func(o *clientv3.Op) { *o = op }
}

// prefixTxn is a transaction of a namespace.
type prefixTxn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]
	space // read-only after prefixKV.Txn
}

func (kv *prefixKV) Txn(ctx context.Context) clientv3.Txn {
	t := &prefixTxn{space: kv.space}
	t.RewriteCmps, t.RewriteOps = t.cmps, t.ops
	t.Start(kv.KV.Txn(ctx), t)
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
	t.response(nil, nil, nil, (*pb.TxnResponse)(resp))
	return resp, nil
}
