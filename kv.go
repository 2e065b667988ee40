package clientv3

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The methods of [KV] return these types. Each is a protobuf message of etcd's KV service under a
// name of this package. The client converts the pointer to the message, so it copies no response.
type (
	// CompactResponse is the answer to a compaction.
	CompactResponse pb.CompactionResponse

	// PutResponse is the answer to a put. PrevKv is nil unless [WithPrevKV] was given and the key
	// existed.
	PutResponse pb.PutResponse

	// GetResponse is the answer to a get. Count is the number of keys in the range, including those
	// that [WithLimit] and the revision bounds leave out of Kvs. More is set if the limit leaves
	// keys out.
	//
	// Copy a pair of Kvs before you keep it for long. Neighbouring pairs share blocks of memory of
	// up to 64 KiB, so a pointer to one pair keeps the whole block.
	GetResponse pb.RangeResponse

	// DeleteResponse is the answer to a delete. Deleted is the number of keys that were deleted.
	// PrevKvs is empty unless [WithPrevKV] was given.
	DeleteResponse pb.DeleteRangeResponse

	// TxnResponse is the answer to a transaction. Responses holds an entry for each op that ran:
	// the then-ops if Succeeded is set, otherwise the else-ops.
	TxnResponse pb.TxnResponse
)

// KV reads and writes the key-value store. All methods are safe for concurrent use.
//
// Unless its documentation says otherwise, a method sends one request and blocks until the request
// is answered or the context ends. Each option runs once per call. The methods panic for the same
// options as [OpGet], [OpPut] and [OpDelete]. All calls end when the client is closed.
//
// If the context has ended, the error of a call is the error of the context. Other errors are
// errors of package rpctypes, which can be compared with errors.Is, or gRPC statuses.
//
// A read is sent again if another member may answer it. A write is sent again only if it is certain
// that it was not applied. If a write fails and the server has not refused it, the write may
// have been applied, or may be applied later.
type KV interface {
	// Put sets a key to a value. An empty key is refused with rpctypes.ErrEmptyKey. [WithLease],
	// [WithPrevKV], [WithIgnoreValue] and [WithIgnoreLease] change what Put does.
	Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error)

	// Get returns the value of a key or, with [WithRange], [WithPrefix] or [WithFromKey], the
	// values of a range of keys. The values come in the order of the keys unless [WithSort] is
	// given. If there is no such key, Kvs is empty and there is no error.
	//
	// The answer is linearizable: it reflects every write that had succeeded before the call. With
	// [WithSerializable] it may be out of date. [WithRev] reads an earlier revision; if that
	// revision was compacted, Get returns rpctypes.ErrCompacted. For a sort that the protocol does
	// not know, Get returns rpctypes.ErrInvalidSortOption.
	Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error)

	// GetStream is Get for ranges of any size: it delivers the answer in pieces. It returns when
	// the request has been sent. Each piece holds the next keys, in order. All pieces are read at
	// one revision. Header, More and Count are set in the last piece only. The channel is closed
	// after the last piece. If the answer cannot be completed, the last piece has an Err that is
	// not nil. [GetStreamToGetResponse] puts the pieces together.
	//
	// A caller who stops reading before the channel is closed must cancel ctx. When ctx ends or the
	// client is closed, the call ends and its memory is freed. A call holds a few pieces at most,
	// because the client does not read ahead of the caller.
	//
	// If the server cannot stream, GetStream reads the range by pages. Each page is the answer to a
	// request for a limited number of keys, at the revision of the first page. If that revision is
	// compacted meanwhile, GetStream fails with rpctypes.ErrCompacted. A range that is sorted or
	// bounded by revisions is not read by pages: it comes in one piece, because servers compute it
	// as a whole.
	//
	// GetStream also reads pages if Config.MaxCallRecvMsgSize is set below its default, because
	// servers do not know this setting. If a page has more bytes than MaxCallRecvMsgSize, GetStream
	// asks for half as many keys. If a page of one key has more, GetStream fails with
	// codes.ResourceExhausted.
	GetStream(ctx context.Context, key string, opts ...OpOption) (GetStreamChan, error)

	// Delete removes a key or, with [WithRange], [WithPrefix] or [WithFromKey], a range of keys. If
	// there is no such key, there is no error.
	Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error)

	// Compact discards the key-value pairs that were superseded at or before revision rev. From
	// then on, reads and watches of earlier revisions, and another compaction at rev, fail with
	// rpctypes.ErrCompacted. Compact returns rpctypes.ErrFutureRev for a revision that does not
	// exist yet.
	Compact(ctx context.Context, rev int64, opts ...CompactOption) (*CompactResponse, error)

	// Do runs op, which is a get, a put, a delete or a transaction. For any other op it returns an
	// error and sends nothing.
	Do(ctx context.Context, op Op) (OpResponse, error)

	// Txn begins a transaction. Nothing is sent before [Txn.Commit], which uses ctx.
	Txn(ctx context.Context) Txn
}

// OpResponse is the answer to [KV.Do]. The method that is named after the kind of the op (Put, Get,
// Del or Txn) returns the response; the other methods return nil.
type OpResponse struct {
	put *PutResponse
	get *GetResponse
	del *DeleteResponse
	txn *TxnResponse
}

// Put returns the answer to a put, or nil if the op was not a put.
func (op OpResponse) Put() *PutResponse { return op.put }

// Get returns the answer to a get, or nil if the op was not a get.
func (op OpResponse) Get() *GetResponse { return op.get }

// Del returns the answer to a delete, or nil if the op was not a delete.
func (op OpResponse) Del() *DeleteResponse { return op.del }

// Txn returns the answer to a transaction, or nil if the op was not a transaction.
func (op OpResponse) Txn() *TxnResponse { return op.txn }

// OpResponse wraps resp in an OpResponse, for code that implements [KV.Do].
func (resp *PutResponse) OpResponse() OpResponse { return OpResponse{put: resp} }

// OpResponse wraps resp in an OpResponse, for code that implements [KV.Do].
func (resp *GetResponse) OpResponse() OpResponse { return OpResponse{get: resp} }

// OpResponse wraps resp in an OpResponse, for code that implements [KV.Do].
func (resp *DeleteResponse) OpResponse() OpResponse { return OpResponse{del: resp} }

// OpResponse wraps resp in an OpResponse, for code that implements [KV.Do].
func (resp *TxnResponse) OpResponse() OpResponse { return OpResponse{txn: resp} }

// CompactOp describes a compaction, the request of [KV.Compact].
type CompactOp struct {
	revision int64
	physical bool
}

// CompactOption is an option of [KV.Compact] and [OpCompact], such as [WithCompactPhysical].
type CompactOption func(*CompactOp)

// OpCompact returns the CompactOp that [KV.Compact] makes of its arguments.
func OpCompact(rev int64, opts ...CompactOption) CompactOp {
	op := CompactOp{revision: rev}
	for _, opt := range opts {
		opt(&op)
	}
	return op
}

// WithCompactPhysical makes [KV.Compact] return only when the member that serves it has removed the
// compacted revisions from its database. By default Compact returns as soon as reads and watches of
// compacted revisions fail.
func WithCompactPhysical() CompactOption { return func(op *CompactOp) { op.physical = true } }

// kv is the KV of a client. It converts ops to protobuf messages and sends these through the field
// remote, which also retries.
type kv struct {
	remote pb.KVClient
	client *Client // may be nil; a call of GetStream ends when the client is closed
	paging bool    // GetStream may call Range instead of RangeStream
}

// NewKV returns a [KV] that sends its requests through c.
func NewKV(c *Client) KV { return &kv{remote: pb.NewKVClient(c.rpc), client: c, paging: true} }

// NewKVFromKVClient returns a [KV] that sends its requests through remote, such as a stub of a
// server in the same process. GetStream calls only RangeStream of remote, never Range. If remote
// does not implement RangeStream, GetStream fails with codes.Unimplemented. If c is not nil,
// GetStream calls also end when c is closed.
func NewKVFromKVClient(remote pb.KVClient, c *Client) KV {
	return &kv{remote: remote, client: c}
}

func (kv *kv) Put(ctx context.Context, key, val string, opts ...OpOption) (*PutResponse, error) {
	op := OpPut(key, val, opts...)
	return kv.put(ctx, &op)
}

func (kv *kv) Get(ctx context.Context, key string, opts ...OpOption) (*GetResponse, error) {
	op := OpGet(key, opts...)
	return kv.get(ctx, &op)
}

func (kv *kv) Delete(ctx context.Context, key string, opts ...OpOption) (*DeleteResponse, error) {
	op := OpDelete(key, opts...)
	return kv.del(ctx, &op)
}

func (kv *kv) Compact(
	ctx context.Context, rev int64, opts ...CompactOption,
) (*CompactResponse, error) {
	op := OpCompact(rev, opts...)
	resp, err := unary(ctx, kv.remote.Compact, op.request())
	return (*CompactResponse)(resp), err
}

func (kv *kv) Txn(ctx context.Context) Txn { return &txn{kv: kv, ctx: ctx} }

func (kv *kv) Do(ctx context.Context, op Op) (resp OpResponse, err error) {
	switch op.kind {
	case kindGet:
		resp.get, err = kv.get(ctx, &op)
	case kindPut:
		resp.put, err = kv.put(ctx, &op)
	case kindDelete:
		resp.del, err = kv.del(ctx, &op)
	case kindTxn:
		resp.txn, err = kv.commit(ctx, op.txn)
	default:
		err = fmt.Errorf("etcdclient: Do cannot run %s with key %q", op.kind, op.key)
	}
	return resp, err
}

func (kv *kv) put(ctx context.Context, op *Op) (*PutResponse, error) {
	resp, err := unary(ctx, kv.remote.Put, op.putRequest())
	return (*PutResponse)(resp), err
}

func (kv *kv) get(ctx context.Context, op *Op) (*GetResponse, error) {
	if err := op.sort.check(); err != nil {
		return nil, err
	}
	resp, err := unary(ctx, kv.remote.Range, op.rangeRequest())
	return (*GetResponse)(resp), err
}

func (kv *kv) del(ctx context.Context, op *Op) (*DeleteResponse, error) {
	resp, err := unary(ctx, kv.remote.DeleteRange, op.deleteRequest())
	return (*DeleteResponse)(resp), err
}

func (kv *kv) commit(ctx context.Context, parts *txnParts) (*TxnResponse, error) {
	req, err := parts.txnRequest()
	if err != nil {
		return nil, err
	}
	resp, err := unary(ctx, kv.remote.Txn, req)
	return (*TxnResponse)(resp), err
}
