package clientv3

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestKVSendsWhatItIsAskedFor(t *testing.T) {
	remote := &fakeKV{}
	kv, ctx := NewKVFromKVClient(remote, nil), t.Context()

	put, err := kv.Put(ctx, "k", "v", WithLease(4))
	require.NoError(t, err)
	assert.EqualValues(t, 2, put.Header.Revision)
	get, err := kv.Get(ctx, "k", WithLimit(5))
	require.NoError(t, err)
	assert.EqualValues(t, 1, get.Header.Revision)
	del, err := kv.Delete(ctx, "k", WithPrefix())
	require.NoError(t, err)
	assert.EqualValues(t, 3, del.Header.Revision)
	txn, err := kv.Txn(ctx).Then(OpPut("k", "v")).Commit()
	require.NoError(t, err)
	assert.EqualValues(t, 4, txn.Header.Revision)
	compact, err := kv.Compact(ctx, 9, WithCompactPhysical())
	require.NoError(t, err)
	assert.EqualValues(t, 5, compact.Header.Revision)

	want := []proto.Message{
		&pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 4},
		&pb.RangeRequest{Key: []byte("k"), Limit: 5},
		&pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")},
		&pb.TxnRequest{Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestPut{
				RequestPut: &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}}},
		}},
		&pb.CompactionRequest{Revision: 9, Physical: true},
	}
	requests := remote.seen()
	require.Len(t, requests, len(want))
	for i := range want {
		requireProto(t, want[i], requests[i])
	}
}

func TestDoAnswersByKind(t *testing.T) {
	kv := NewKVFromKVClient(&fakeKV{}, nil)
	tests := []struct {
		op       Op
		revision int64
		of       func(OpResponse) *pb.ResponseHeader
	}{
		{OpGet("k"), 1, func(r OpResponse) *pb.ResponseHeader {
			return (*pb.RangeResponse)(r.Get()).GetHeader()
		}},
		{OpPut("k", "v"), 2, func(r OpResponse) *pb.ResponseHeader {
			return (*pb.PutResponse)(r.Put()).GetHeader()
		}},
		{OpDelete("k"), 3, func(r OpResponse) *pb.ResponseHeader {
			return (*pb.DeleteRangeResponse)(r.Del()).GetHeader()
		}},
		{OpTxn(nil, nil, nil), 4, func(r OpResponse) *pb.ResponseHeader {
			return (*pb.TxnResponse)(r.Txn()).GetHeader()
		}},
	}
	for i, tt := range tests {
		resp, err := kv.Do(t.Context(), tt.op)
		require.NoError(t, err)
		for j, other := range tests {
			if i == j {
				assert.Equal(t, tt.revision, other.of(resp).GetRevision())
			} else {
				assert.Nil(t, other.of(resp), "the answer to a %s holds another kind's", tt.op.kind)
			}
		}
	}
}

func TestOpResponseOfEveryKind(t *testing.T) {
	put, get, del, txn := &PutResponse{}, &GetResponse{}, &DeleteResponse{}, &TxnResponse{}
	assert.Equal(t, OpResponse{put: put}, put.OpResponse())
	assert.Equal(t, OpResponse{get: get}, get.OpResponse())
	assert.Equal(t, OpResponse{del: del}, del.OpResponse())
	assert.Equal(t, OpResponse{txn: txn}, txn.OpResponse())
	assert.Same(t, put, put.OpResponse().Put())
	assert.Same(t, get, get.OpResponse().Get())
	assert.Same(t, del, del.OpResponse().Del())
	assert.Same(t, txn, txn.OpResponse().Txn())
}

func TestDoRefusesOps(t *testing.T) {
	remote := &fakeKV{}
	kv := NewKVFromKVClient(remote, nil)
	_, err := kv.Do(t.Context(), *NewOp())
	assert.EqualError(t, err, `etcdclient: Do cannot run empty op with key ""`)
	_, err = kv.Do(t.Context(), OpWatch("w"))
	assert.EqualError(t, err, `etcdclient: Do cannot run watch with key "w"`)
	assert.Empty(t, remote.seen(), "nothing may be sent")
}

func TestInvalidSortIsAnError(t *testing.T) {
	remote := &fakeKV{}
	kv, ctx := NewKVFromKVClient(remote, nil), t.Context()
	for _, opt := range []OpOption{WithSort(5, SortAscend), WithSort(-1, SortNone),
		WithSort(SortByKey, 3), WithSort(SortByKey, -1)} {
		op := OpGet("k", opt)
		calls := map[string]func() error{
			"Get":       func() error { _, err := kv.Get(ctx, "k", opt); return err },
			"GetStream": func() error { _, err := kv.GetStream(ctx, "k", opt); return err },
			"Do":        func() error { _, err := kv.Do(ctx, op); return err },
			"Do of txn": func() error {
				_, err := kv.Do(ctx, OpTxn(nil, []Op{op}, nil))
				return err
			},
			"Then": func() error { _, err := kv.Txn(ctx).Then(op).Commit(); return err },
			"Else": func() error {
				_, err := kv.Txn(ctx).Else(OpTxn(nil, nil, []Op{op})).Commit()
				return err
			},
		}
		for name, call := range calls {
			err := call()
			assert.Equal(t, rpctypes.ErrInvalidSortOption, err, name)
			assert.ErrorIs(t, err, rpctypes.ErrInvalidSortOption, name)
		}
	}
	assert.Empty(t, remote.seen(), "nothing may be sent")
}

// callsOf lists every unary method of a KV.
func callsOf(ctx context.Context, kv KV) map[string]func() error {
	return map[string]func() error{
		"Put":     func() error { _, err := kv.Put(ctx, "k", "v"); return err },
		"Get":     func() error { _, err := kv.Get(ctx, "k"); return err },
		"Delete":  func() error { _, err := kv.Delete(ctx, "k"); return err },
		"Compact": func() error { _, err := kv.Compact(ctx, 1); return err },
		"Txn":     func() error { _, err := kv.Txn(ctx).Commit(); return err },
		"Do":      func() error { _, err := kv.Do(ctx, OpPut("k", "v")); return err },
	}
}

func TestKVConvertsErrors(t *testing.T) {
	for name, call := range callsOf(t.Context(),
		NewKVFromKVClient(&fakeKV{err: rpctypes.ErrGRPCNoSpace}, nil)) {
		err := call()
		assert.Equal(t, rpctypes.ErrNoSpace, err, name)
		assert.ErrorIs(t, err, rpctypes.ErrNoSpace, name)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range callsOf(done, NewKVFromKVClient(
		&fakeKV{err: status.FromContextError(done.Err()).Err()}, nil)) {
		assert.Equal(t, context.Canceled, call(), name)
	}
}

// TestTextOfATooLargeRequestPassesThrough shows that gRPC's refusal reaches the
// caller with the size and the limit it names.
func TestTextOfATooLargeRequestPassesThrough(t *testing.T) {
	refusal := status.Error(codes.ResourceExhausted,
		"trying to send message larger than max (3000000 vs. 2097152)")
	for name, call := range callsOf(t.Context(), NewKVFromKVClient(&fakeKV{err: refusal}, nil)) {
		err := call()
		assert.ErrorContains(t, err, "larger than max (3000000 vs. 2097152)", name)
		assert.Equal(t, codes.ResourceExhausted, status.Code(err), name)
	}
}

// TestOptionsRunOnceACall counts option calls through each method that takes them.
func TestOptionsRunOnceACall(t *testing.T) {
	kv, ctx := NewKVFromKVClient(&fakeKV{onStream: streamOf(io.EOF, lastPiece(1, "a"))}, nil),
		t.Context()
	calls := 0
	count := func(*Op) { calls++ }
	methods := map[string]func(opts ...OpOption) error{
		"Put": func(opts ...OpOption) error {
			_, err := kv.Put(ctx, "k", "v", opts...)
			return err
		},
		"Get": func(opts ...OpOption) error { _, err := kv.Get(ctx, "k", opts...); return err },
		"Delete": func(opts ...OpOption) error {
			_, err := kv.Delete(ctx, "k", opts...)
			return err
		},
		"GetStream": func(opts ...OpOption) error {
			stream, err := kv.GetStream(ctx, "k", opts...)
			_, drained := GetStreamToGetResponse(stream)
			return errors.Join(err, drained)
		},
		"Do": func(opts ...OpOption) error {
			_, err := kv.Do(ctx, OpGet("k", opts...))
			return err
		},
	}
	for name, call := range methods {
		calls = 0
		opts := append(make([]OpOption, 0, 8), count)
		require.NoError(t, call(opts...))
		assert.Equal(t, 1, calls, name)
		assert.Nil(t, opts[:2][1], "%s appended to its caller's slice", name)
	}
	calls = 0
	_, err := kv.Compact(ctx, 1, func(*CompactOp) { calls++ })
	require.NoError(t, err)
	assert.Equal(t, 1, calls, "Compact")
}

func TestKVMethodsPanicOnMisplacedOptions(t *testing.T) {
	kv, ctx := NewKVFromKVClient(&fakeKV{}, nil), t.Context()
	assert.Equal(t, "etcdclient: WithLimit(2) is not an option of a put", panicText(func() {
		_, _ = kv.Put(ctx, "k", "v", WithLimit(2))
	}))
	assert.Equal(t, "etcdclient: WithLease(2) is not an option of a delete", panicText(func() {
		_, _ = kv.Delete(ctx, "k", WithLease(2))
	}))
	assert.Contains(t, panicText(func() {
		_, _ = kv.Get(ctx, "k", WithPrefix(), WithFromKey())
	}), "one get")
	assert.Contains(t, panicText(func() {
		_, _ = kv.GetStream(ctx, "k", WithFromKey(), WithPrefix())
	}), "one get")
}
