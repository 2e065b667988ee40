package kv_test

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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/kvstub"
)

func TestKVSendsWhatItIsAskedFor(t *testing.T) {
	remote := &kvstub.Stub{}
	kv, ctx := clientv3.NewKVFromKVClient(remote, nil), t.Context()

	put, err := kv.Put(ctx, "k", "v", clientv3.WithLease(4))
	require.NoError(t, err)
	assert.EqualValues(t, 2, put.Header.Revision)
	get, err := kv.Get(ctx, "k", clientv3.WithLimit(5))
	require.NoError(t, err)
	assert.EqualValues(t, 1, get.Header.Revision)
	del, err := kv.Delete(ctx, "k", clientv3.WithPrefix())
	require.NoError(t, err)
	assert.EqualValues(t, 3, del.Header.Revision)
	txn, err := kv.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
	require.NoError(t, err)
	assert.EqualValues(t, 4, txn.Header.Revision)
	compact, err := kv.Compact(ctx, 9, clientv3.WithCompactPhysical())
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
	requests := remote.Requests()
	require.Len(t, requests, len(want))
	for i := range want {
		requireProto(t, want[i], requests[i])
	}
}

func TestDoAnswersByKind(t *testing.T) {
	kv := clientv3.NewKVFromKVClient(&kvstub.Stub{}, nil)
	tests := []struct {
		op       clientv3.Op
		revision int64
		of       func(clientv3.OpResponse) *pb.ResponseHeader
	}{
		{clientv3.OpGet("k"), 1, func(r clientv3.OpResponse) *pb.ResponseHeader {
			return (*pb.RangeResponse)(r.Get()).GetHeader()
		}},
		{clientv3.OpPut("k", "v"), 2, func(r clientv3.OpResponse) *pb.ResponseHeader {
			return (*pb.PutResponse)(r.Put()).GetHeader()
		}},
		{clientv3.OpDelete("k"), 3, func(r clientv3.OpResponse) *pb.ResponseHeader {
			return (*pb.DeleteRangeResponse)(r.Del()).GetHeader()
		}},
		{clientv3.OpTxn(nil, nil, nil), 4, func(r clientv3.OpResponse) *pb.ResponseHeader {
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
				assert.Nil(t, other.of(resp), "the answer to op %d holds one of kind %d", i, j)
			}
		}
	}
}

func TestOpResponseOfEveryKind(t *testing.T) {
	put, get := &clientv3.PutResponse{}, &clientv3.GetResponse{}
	del, txn := &clientv3.DeleteResponse{}, &clientv3.TxnResponse{}
	for _, tt := range []struct {
		resp clientv3.OpResponse
		put  *clientv3.PutResponse
		get  *clientv3.GetResponse
		del  *clientv3.DeleteResponse
		txn  *clientv3.TxnResponse
	}{
		{resp: put.OpResponse(), put: put},
		{resp: get.OpResponse(), get: get},
		{resp: del.OpResponse(), del: del},
		{resp: txn.OpResponse(), txn: txn},
	} {
		assert.Same(t, tt.put, tt.resp.Put())
		assert.Same(t, tt.get, tt.resp.Get())
		assert.Same(t, tt.del, tt.resp.Del())
		assert.Same(t, tt.txn, tt.resp.Txn())
	}
}

func TestDoRefusesOps(t *testing.T) {
	remote := &kvstub.Stub{}
	kv := clientv3.NewKVFromKVClient(remote, nil)
	_, err := kv.Do(t.Context(), *clientv3.NewOp())
	assert.EqualError(t, err, `etcdclient: Do cannot run empty op with key ""`)
	_, err = kv.Do(t.Context(), clientv3.OpWatch("w"))
	assert.EqualError(t, err, `etcdclient: Do cannot run watch with key "w"`)
	assert.Empty(t, remote.Requests(), "nothing may be sent")
}

func TestInvalidSortIsAnError(t *testing.T) {
	remote := &kvstub.Stub{}
	kv, ctx := clientv3.NewKVFromKVClient(remote, nil), t.Context()
	for _, opt := range []clientv3.OpOption{
		clientv3.WithSort(5, clientv3.SortAscend),
		clientv3.WithSort(-1, clientv3.SortNone),
		clientv3.WithSort(clientv3.SortByKey, 3),
		clientv3.WithSort(clientv3.SortByKey, -1),
	} {
		op := clientv3.OpGet("k", opt)
		calls := map[string]func() error{
			"Get":       func() error { _, err := kv.Get(ctx, "k", opt); return err },
			"GetStream": func() error { _, err := kv.GetStream(ctx, "k", opt); return err },
			"Do":        func() error { _, err := kv.Do(ctx, op); return err },
			"Do of txn": func() error {
				_, err := kv.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{op}, nil))
				return err
			},
			"Then": func() error { _, err := kv.Txn(ctx).Then(op).Commit(); return err },
			"Else": func() error {
				_, err := kv.Txn(ctx).Else(clientv3.OpTxn(nil, nil, []clientv3.Op{op})).Commit()
				return err
			},
		}
		for name, call := range calls {
			err := call()
			assert.Equal(t, rpctypes.ErrInvalidSortOption, err, name)
			assert.ErrorIs(t, err, rpctypes.ErrInvalidSortOption, name)
		}
	}
	assert.Empty(t, remote.Requests(), "nothing may be sent")
}

// callsOf returns, for each unary method of kv, a function that calls the method.
func callsOf(ctx context.Context, kv clientv3.KV) map[string]func() error {
	return map[string]func() error{
		"Put":     func() error { _, err := kv.Put(ctx, "k", "v"); return err },
		"Get":     func() error { _, err := kv.Get(ctx, "k"); return err },
		"Delete":  func() error { _, err := kv.Delete(ctx, "k"); return err },
		"Compact": func() error { _, err := kv.Compact(ctx, 1); return err },
		"Txn":     func() error { _, err := kv.Txn(ctx).Commit(); return err },
		"Do":      func() error { _, err := kv.Do(ctx, clientv3.OpPut("k", "v")); return err },
	}
}

func TestKVConvertsErrors(t *testing.T) {
	for name, call := range callsOf(t.Context(),
		clientv3.NewKVFromKVClient(&kvstub.Stub{Err: rpctypes.ErrGRPCNoSpace}, nil)) {
		err := call()
		assert.Equal(t, rpctypes.ErrNoSpace, err, name)
		assert.ErrorIs(t, err, rpctypes.ErrNoSpace, name)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range callsOf(done, clientv3.NewKVFromKVClient(
		&kvstub.Stub{Err: status.FromContextError(done.Err()).Err()}, nil)) {
		assert.Equal(t, context.Canceled, call(), name)
	}
}

// TestTextOfATooLargeRequestPassesThrough shows that gRPC's error reaches the caller with its text,
// which names the size and the limit.
func TestTextOfATooLargeRequestPassesThrough(t *testing.T) {
	refusal := status.Error(codes.ResourceExhausted,
		"trying to send message larger than max (3000000 vs. 2097152)")
	for name, call := range callsOf(t.Context(),
		clientv3.NewKVFromKVClient(&kvstub.Stub{Err: refusal}, nil)) {
		err := call()
		assert.ErrorContains(t, err, "larger than max (3000000 vs. 2097152)", name)
		assert.Equal(t, codes.ResourceExhausted, status.Code(err), name)
	}
}

// TestOptionsRunOnceACall counts how often each method runs an option.
func TestOptionsRunOnceACall(t *testing.T) {
	kv, ctx := clientv3.NewKVFromKVClient(&kvstub.Stub{
		OnStream: kvstub.StreamOf(io.EOF, kvstub.LastPiece(1, "a"))}, nil),
		t.Context()
	calls := 0
	count := func(*clientv3.Op) { calls++ }
	methods := map[string]func(opts ...clientv3.OpOption) error{
		"Put": func(opts ...clientv3.OpOption) error {
			_, err := kv.Put(ctx, "k", "v", opts...)
			return err
		},
		"Get": func(opts ...clientv3.OpOption) error {
			_, err := kv.Get(ctx, "k", opts...)
			return err
		},
		"Delete": func(opts ...clientv3.OpOption) error {
			_, err := kv.Delete(ctx, "k", opts...)
			return err
		},
		"GetStream": func(opts ...clientv3.OpOption) error {
			stream, err := kv.GetStream(ctx, "k", opts...)
			_, drained := clientv3.GetStreamToGetResponse(stream)
			return errors.Join(err, drained)
		},
		"Do": func(opts ...clientv3.OpOption) error {
			_, err := kv.Do(ctx, clientv3.OpGet("k", opts...))
			return err
		},
	}
	for name, call := range methods {
		calls = 0
		opts := append(make([]clientv3.OpOption, 0, 8), count)
		require.NoError(t, call(opts...))
		assert.Equal(t, 1, calls, name)
		assert.Nil(t, opts[:2][1], "%s appended to its caller's slice", name)
	}
	calls = 0
	_, err := kv.Compact(ctx, 1, func(*clientv3.CompactOp) { calls++ })
	require.NoError(t, err)
	assert.Equal(t, 1, calls, "Compact")
}

func TestKVMethodsPanicOnMisplacedOptions(t *testing.T) {
	kv, ctx := clientv3.NewKVFromKVClient(&kvstub.Stub{}, nil), t.Context()
	assert.Equal(t, "etcdclient: WithLimit(2) is not an option of a put", panicText(func() {
		_, _ = kv.Put(ctx, "k", "v", clientv3.WithLimit(2))
	}))
	assert.Equal(t, "etcdclient: WithLease(2) is not an option of a delete", panicText(func() {
		_, _ = kv.Delete(ctx, "k", clientv3.WithLease(2))
	}))
	assert.Contains(t, panicText(func() {
		_, _ = kv.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithFromKey())
	}), "one get")
	assert.Contains(t, panicText(func() {
		_, _ = kv.GetStream(ctx, "k", clientv3.WithFromKey(), clientv3.WithPrefix())
	}), "one get")
}
