package namespace

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// prefixKV is the KV of a namespace.
type prefixKV struct {
	clientv3.KV
	space
}

// NewKV returns a KV for the keys of kv that begin with prefix. Its errors are those of
// kv. The responses that kv returns are modified in place: they must be the caller's
// own, as those of a client are.
//
// GetStream delivers piece by piece where kv is a client's KV, or a namespace in one. From
// other implementations it collects all pieces before it returns, and delivers one.
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
	kv.response(resp)
	return resp, nil
}

func (kv *prefixKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	return kv.GetStreamRewritten(ctx, nil, key, opts...)
}

// streamRewriter is what the client's own KV has beside KV: a GetStream whose pieces go
// through a function before they are delivered.
type streamRewriter interface {
	GetStreamRewritten(
		ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
	) (clientv3.GetStreamChan, error)
}

// GetStreamRewritten makes prefixKV a streamRewriter itself, so that namespaces nest without
// a goroutine each.
func (kv *prefixKV) GetStreamRewritten(
	ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op, err := kv.op(clientv3.OpGet(key, opts...))
	if err != nil {
		return nil, err
	}
	own := func(piece *pb.RangeResponse) {
		kv.get(piece)
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
	return onePiece((*pb.RangeResponse)(whole), own), nil
}

// onePiece returns a stream of one piece.
func onePiece(piece *pb.RangeResponse, rewrite func(*pb.RangeResponse)) clientv3.GetStreamChan {
	rewrite(piece)
	stream := make(chan clientv3.RangeStreamResponse, 1)
	stream <- clientv3.RangeStreamResponse{RangeResponse: piece}
	close(stream)
	return stream
}

// exactly is an option that makes any op the given one, whose own options have run.
func exactly(op clientv3.Op) clientv3.OpOption {
	return func(o *clientv3.Op) { *o = op }
}
