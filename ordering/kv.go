package ordering

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/txnbuilder"
)

// OrderViolationFunc is called when a response is older than an earlier response. op is the get or
// the transaction, resp is the older response to op, and prevRev is the revision of the earlier
// response. If the function returns nil, the request is repeated. Otherwise the request fails with
// the function's error.
//
// The function runs on the goroutine of the request's caller, and must be safe for concurrent use.
type OrderViolationFunc func(op clientv3.Op, resp clientv3.OpResponse, prevRev int64) error

// orderedKV is a KV whose reads never return older data than an earlier response.
type orderedKV struct {
	clientv3.KV // read-only after NewKV

	onViolation OrderViolationFunc // read-only after NewKV

	seen atomic.Int64 // the greatest revision in the responses returned so far
}

// NewKV returns a KV that passes requests on to kv, and whose reads never go back in time. The
// response to a get or a transaction has at least the revision of every response that the KV
// returned before the request began. Responses to puts and deletes count, too.
//
// If kv returns an older response, the KV calls orderViolationFunc and repeats the request, with
// growing waits. It stops when a response is new enough, when orderViolationFunc returns an error,
// or when the context ends.
//
// A transaction that can write is never repeated, because it was already applied. If its response
// is too old and orderViolationFunc returns nil, the transaction fails with [ErrNoGreaterRev].
//
// GetStream first reads the revision of the store, with the same checks as Get. It then streams the
// range at that revision. If a serializable stream reaches a member that has not reached that
// revision, the stream ends with rpctypes.ErrFutureRev.
func NewKV(kv clientv3.KV, orderViolationFunc OrderViolationFunc) clientv3.KV {
	return &orderedKV{KV: kv, onViolation: orderViolationFunc}
}

func (kv *orderedKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpGet(key, opts...))
	return resp.Get(), err
}

func (kv *orderedKV) Put(
	ctx context.Context, key, val string, opts ...clientv3.OpOption,
) (*clientv3.PutResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpPut(key, val, opts...))
	return resp.Put(), err
}

func (kv *orderedKV) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	resp, err := kv.Do(ctx, clientv3.OpDelete(key, opts...))
	return resp.Del(), err
}

func (kv *orderedKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	do := func() (clientv3.OpResponse, error) { return kv.KV.Do(ctx, op) }
	if op.IsGet() || op.IsTxn() {
		return kv.inOrder(ctx, op, do)
	}
	resp, err := do()
	if err == nil {
		kv.saw(header(resp))
	}
	return resp, err
}

// streamRewriter is a KV that runs a function on each piece of a GetStream before the piece is
// delivered. The KV of a client implements it.
type streamRewriter interface {
	GetStreamRewritten(
		ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
	) (clientv3.GetStreamChan, error)
}

func (kv *orderedKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	countOnly := []clientv3.OpOption{clientv3.WithCountOnly()}
	if op.IsSerializable() {
		countOnly = append(countOnly, clientv3.WithSerializable())
	}
	now, err := kv.Get(ctx, string(op.KeyBytes()), countOnly...)
	if err != nil {
		return nil, err
	}
	if op.Rev() <= 0 {
		clientv3.WithRev((*pb.RangeResponse)(now).GetHeader().GetRevision())(&op)
	}
	// The caller's options have run when op was made, and must not run twice. So this one option
	// replaces the whole Op.
	exactly := func(o *clientv3.Op) { *o = op }
	if inner, ok := kv.KV.(streamRewriter); ok {
		return inner.GetStreamRewritten(ctx, func(piece *pb.RangeResponse) {
			kv.saw(piece.GetHeader())
		}, key, exactly)
	}
	return kv.KV.GetStream(ctx, key, exactly)
}

// repeatBackoff defines the wait before a request is repeated because its response was too old.
var repeatBackoff = backoff.Policy{Base: 25 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// inOrder runs op by calling the function do. It returns the response if it is at least as new as
// all responses that the KV had returned before the call. Otherwise it calls onViolation. If
// onViolation returns nil, inOrder waits and runs op again. An op that can write is not run again:
// inOrder returns ErrNoGreaterRev instead. Errors of do, onViolation and ctx are returned.
func (kv *orderedKV) inOrder(
	ctx context.Context, op clientv3.Op, do func() (clientv3.OpResponse, error),
) (clientv3.OpResponse, error) {
	prevRev := kv.seen.Load()
	for violations := 1; ; violations++ {
		resp, err := do()
		if err != nil {
			return clientv3.OpResponse{}, err
		}
		if rev := header(resp).GetRevision(); rev >= prevRev {
			kv.saw(header(resp))
			return resp, nil
		}
		if err := kv.onViolation(numbered(op, violations), resp, prevRev); err != nil {
			return clientv3.OpResponse{}, err
		}
		if !readOnly(op) {
			return clientv3.OpResponse{}, ErrNoGreaterRev
		}
		if err := backoff.Wait(ctx, repeatBackoff.Delay(violations-1)); err != nil {
			return clientv3.OpResponse{}, err
		}
	}
}

// saw records the revision of a response that the KV is about to return.
func (kv *orderedKV) saw(header *pb.ResponseHeader) {
	rev := header.GetRevision()
	for {
		seen := kv.seen.Load()
		if rev <= seen || kv.seen.CompareAndSwap(seen, rev) {
			return
		}
	}
}

// header returns the header of a response, or nil if the response has none.
func header(resp clientv3.OpResponse) *pb.ResponseHeader {
	return cmp.Or((*pb.RangeResponse)(resp.Get()).GetHeader(),
		(*pb.TxnResponse)(resp.Txn()).GetHeader(), (*pb.PutResponse)(resp.Put()).GetHeader(),
		(*pb.DeleteRangeResponse)(resp.Del()).GetHeader())
}

// readOnly reports whether op is a get, or a transaction whose operations are all read-only.
func readOnly(op clientv3.Op) bool {
	if !op.IsTxn() {
		return op.IsGet()
	}
	_, thenOps, elseOps := op.Txn()
	writes := func(op clientv3.Op) bool { return !readOnly(op) }
	return !slices.ContainsFunc(slices.Concat(thenOps, elseOps), writes)
}

// orderedTxn is a transaction of an orderedKV.
type orderedTxn struct {
	txnbuilder.Builder[clientv3.Cmp, clientv3.Op, clientv3.Txn]

	// read-only after orderedKV.Txn
	kv  *orderedKV
	ctx context.Context
}

func (kv *orderedKV) Txn(ctx context.Context) clientv3.Txn {
	t := &orderedTxn{kv: kv, ctx: ctx}
	t.Start(kv.KV.Txn(ctx), t)
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
