package ordering

import (
	"context"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// OrderViolationFunc is told of a response that is older than one before it: op is the
// get or the transaction, resp its response, and prevRev the revision that resp
// does not reach. The request ends with its error, and is repeated where that is nil.
//
// It runs on the goroutine of the caller, who waits for it, and must be safe for
// concurrent use.
type OrderViolationFunc func(op clientv3.Op, resp clientv3.OpResponse, prevRev int64) error

// orderedKV is the KV of this package.
type orderedKV struct {
	clientv3.KV // read-only after NewKV

	onViolation OrderViolationFunc // read-only after NewKV

	seen atomic.Int64 // the greatest revision of a response
}

// NewKV returns a KV that passes requests on to kv, and whose responses to gets and
// transactions have revisions no lower than that of any response it had returned
// before the request. Puts and deletes raise the revision too. An older response
// is given to orderViolationFunc; the request is then repeated, with growing waits,
// until its response is new enough, orderViolationFunc returns an error, or the
// context ends.
//
// A transaction that can write is never repeated, since it has been applied: where
// orderViolationFunc returns nil, it ends with [ErrNoGreaterRev] all the same.
//
// GetStream reads the revision of the store first, as Get would, and streams the range
// as of that revision. A serializable stream that then reaches a member further behind
// ends with rpctypes.ErrFutureRev.
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
	resp, err := kv.KV.Put(ctx, key, val, opts...)
	if err == nil {
		kv.saw(resp.Header)
	}
	return resp, err
}

func (kv *orderedKV) Delete(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.DeleteResponse, error) {
	resp, err := kv.KV.Delete(ctx, key, opts...)
	if err == nil {
		kv.saw(resp.Header)
	}
	return resp, err
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

// streamWatcher is what the client's own KV has beside KV: a GetStream whose pieces are
// shown to a function before they are delivered.
type streamWatcher interface {
	GetStreamRewritten(
		ctx context.Context, rewrite func(*pb.RangeResponse), key string, opts ...clientv3.OpOption,
	) (clientv3.GetStreamChan, error)
}

func (kv *orderedKV) GetStream(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (clientv3.GetStreamChan, error) {
	op := clientv3.OpGet(key, opts...)
	probe := []clientv3.OpOption{clientv3.WithCountOnly()}
	if op.IsSerializable() {
		probe = append(probe, clientv3.WithSerializable())
	}
	now, err := kv.Get(ctx, string(op.KeyBytes()), probe...)
	if err != nil {
		return nil, err
	}
	if op.Rev() <= 0 {
		clientv3.WithRev((*pb.RangeResponse)(now).GetHeader().GetRevision())(&op)
	}
	same := func(o *clientv3.Op) { *o = op } // the caller's options have run
	if inner, ok := kv.KV.(streamWatcher); ok {
		return inner.GetStreamRewritten(ctx, func(piece *pb.RangeResponse) {
			kv.saw(piece.GetHeader())
		}, key, same)
	}
	return kv.KV.GetStream(ctx, key, same)
}

// wait spaces the repetitions of a request.
var wait = backoff.Policy{Base: 25 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// inOrder calls do, which runs op, until its response is no older than those that were
// there before.
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
		if err := backoff.Wait(ctx, wait.Delay(violations-1)); err != nil {
			return clientv3.OpResponse{}, err
		}
	}
}

// saw notes the revision of a response that is returned.
func (kv *orderedKV) saw(header *pb.ResponseHeader) {
	rev := header.GetRevision()
	for {
		seen := kv.seen.Load()
		if rev <= seen || kv.seen.CompareAndSwap(seen, rev) {
			return
		}
	}
}

// header returns the header of the one response in resp, or nil.
func header(resp clientv3.OpResponse) *pb.ResponseHeader {
	switch {
	case resp.Get() != nil:
		return resp.Get().Header
	case resp.Txn() != nil:
		return resp.Txn().Header
	case resp.Put() != nil:
		return resp.Put().Header
	case resp.Del() != nil:
		return resp.Del().Header
	}
	return nil
}

// readOnly reports whether op, with all that is nested in it, writes nothing.
func readOnly(op clientv3.Op) bool {
	if !op.IsTxn() {
		return op.IsGet()
	}
	_, thenOps, elseOps := op.Txn()
	for _, ops := range [][]clientv3.Op{thenOps, elseOps} {
		for _, op := range ops {
			if !readOnly(op) {
				return false
			}
		}
	}
	return true
}
