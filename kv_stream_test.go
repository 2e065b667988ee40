package clientv3

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keyValues returns a key-value pair for each key.
func keyValues(keys ...string) []*mvccpb.KeyValue {
	kvs := make([]*mvccpb.KeyValue, len(keys))
	for i, key := range keys {
		kvs[i] = &mvccpb.KeyValue{Key: []byte(key), Value: []byte("value of " + key)}
	}
	return kvs
}

// piece is one that is not the last.
func piece(keys ...string) *pb.RangeResponse { return &pb.RangeResponse{Kvs: keyValues(keys...)} }

// lastPiece is the last one of a range of count keys.
func lastPiece(count int64, keys ...string) *pb.RangeResponse {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 9}, Kvs: keyValues(keys...),
		Count: count}
}

// endless is a stream that always has another piece; recvs counts those taken.
type endless struct {
	fakeStream
	recvs int
}

func (s *endless) Recv() (*pb.RangeStreamResponse, error) {
	s.recvs++
	s.msgs = []*pb.RangeStreamResponse{{RangeResponse: piece("k")}}
	return s.fakeStream.Recv()
}

func (s *endless) open(ctx context.Context, _ *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
	s.ctx = ctx
	return s, nil
}

func TestGetStreamDeliversPieces(t *testing.T) {
	pieces := []*pb.RangeResponse{piece("a", "b"), piece("c"), lastPiece(4, "d")}
	var sent *pb.RangeRequest
	open := streamOf(io.EOF, pieces...)
	kv := NewKVFromKVClient(&fakeKV{onStream: func(ctx context.Context,
		req *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		sent = req
		return open(ctx, req)
	}}, nil)

	stream, err := kv.GetStream(t.Context(), "a", WithRange("z"), WithLimit(8), WithRev(3),
		WithSerializable(), WithKeysOnly())
	require.NoError(t, err)
	for _, want := range pieces {
		got := <-stream
		require.NoError(t, got.Err())
		assert.Same(t, want, got.RangeResponse)
	}
	_, more := <-stream
	assert.False(t, more, "the channel must be closed after the last piece")
	requireProto(t, &pb.RangeRequest{
		Key: []byte("a"), RangeEnd: []byte("z"), Limit: 8, Revision: 3, Serializable: true,
		KeysOnly: true,
	}, sent)
}

func TestGetStreamToGetResponse(t *testing.T) {
	kv := NewKVFromKVClient(&fakeKV{onStream: streamOf(io.EOF, piece("a", "b"), nil, piece("c"),
		lastPiece(7, "d"))}, nil)
	stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
	require.NoError(t, err)
	got, err := GetStreamToGetResponse(stream)
	require.NoError(t, err)
	requireProto(t, lastPiece(7, "a", "b", "c", "d"), (*pb.RangeResponse)(got))

	empty := make(chan RangeStreamResponse, 1)
	empty <- RangeStreamResponse{}
	close(empty)
	got, err = GetStreamToGetResponse(empty)
	require.NoError(t, err)
	requireProto(t, &pb.RangeResponse{}, (*pb.RangeResponse)(got))
}

func TestGetStreamEndsWithItsError(t *testing.T) {
	kv := NewKVFromKVClient(&fakeKV{onStream: streamOf(rpctypes.ErrGRPCCompacted, piece("a"))}, nil)
	stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
	require.NoError(t, err)
	first := <-stream
	require.NoError(t, first.Err())
	last := <-stream
	assert.Equal(t, rpctypes.ErrCompacted, last.Err())
	assert.Empty(t, last.Kvs, "the fields of the error can be read")
	_, open := <-stream
	assert.False(t, open)

	stream, err = kv.GetStream(t.Context(), "a", WithPrefix())
	require.NoError(t, err)
	whole, err := GetStreamToGetResponse(stream)
	assert.Nil(t, whole)
	assert.ErrorIs(t, err, rpctypes.ErrCompacted)
}

func TestGetStreamThatCannotBeOpened(t *testing.T) {
	kv := NewKVFromKVClient(&fakeKV{onStream: func(context.Context,
		*pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		return nil, rpctypes.ErrGRPCPermissionDenied
	}}, nil)
	stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	assert.Nil(t, stream)
}

// TestAbandonedGetStreamEndsWithItsContext leaves a stream unread: nothing is read
// ahead of the consumer, and the end of the context ends everything. The bubble
// fails if a goroutine of the call is left.
func TestAbandonedGetStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &endless{}
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := NewKVFromKVClient(&fakeKV{onStream: remote.open}, nil).GetStream(ctx, "a",
			WithPrefix())
		require.NoError(t, err)
		<-stream
		synctest.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.LessOrEqual(t, remote.recvs, 3,
			"pieces taken from the server for a consumer that read one")
		cancel()
		synctest.Wait()
		assert.Error(t, remote.ctx.Err(), "the RPC goes on")
	})
}

// TestLateReaderLearnsThatTheStreamIsCutOff reads only after the context has
// ended: the closed channel must not pass for a complete answer.
func TestLateReaderLearnsThatTheStreamIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &endless{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := NewKVFromKVClient(&fakeKV{onStream: remote.open}, nil).GetStream(ctx, "a",
			WithPrefix())
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = GetStreamToGetResponse(stream)
		assert.Equal(t, context.DeadlineExceeded, err)
	})
}

// TestClosingTheClientEndsStreams has one stream blocked on its reader and one
// on its server.
func TestClosingTheClientEndsStreams(t *testing.T) {
	opens := map[string]func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error){
		"slow reader":   (&endless{}).open,
		"silent server": streamOf(nil),
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clientCtx, closeClient := context.WithCancel(context.Background())
				kv := NewKVFromKVClient(&fakeKV{onStream: open},
					&Client{clientState: &clientState{ctx: clientCtx}})
				stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
				require.NoError(t, err)
				synctest.Wait()
				closeClient()
				synctest.Wait()
				_, err = GetStreamToGetResponse(stream)
				assert.Equal(t, context.Canceled, err)
			})
		})
	}
}

// TestGetStreamDuringClose opens streams until the client is closed under way: each
// ends, and Close waits for all that were begun.
func TestGetStreamDuringClose(t *testing.T) {
	for range 20 {
		client := NewCtxClient(t.Context())
		kv := NewKVFromKVClient(&fakeKV{onStream: streamOf(nil, piece("a"))}, client)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
					if err != nil {
						assert.True(t, IsConnCanceled(err), "%v", err)
						return
					}
					<-stream
				}
			})
		}
		require.NoError(t, client.Close())
		wg.Wait()
	}
}

// TestGetStreamFreesTheClientsHook makes many streams of a client that lives on:
// each must take its hook on the client's context away.
func TestGetStreamFreesTheClientsHook(t *testing.T) {
	hooks := &countedContext{Context: t.Context(), done: make(chan struct{})}
	kv := NewKVFromKVClient(&fakeKV{onStream: streamOf(io.EOF, lastPiece(1, "a"))},
		&Client{clientState: &clientState{ctx: hooks}})
	for range 10 {
		stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
		require.NoError(t, err)
		_, err = GetStreamToGetResponse(stream)
		require.NoError(t, err)
	}
	assert.Zero(t, hooks.held, "hooks of streams that have ended")
}

// countedContext counts the functions that wait for its end.
type countedContext struct {
	context.Context
	done chan struct{}
	held int
}

func (c *countedContext) Done() <-chan struct{} { return c.done }

func (c *countedContext) AfterFunc(func()) func() bool {
	c.held++
	return func() bool { c.held--; return true }
}

func TestGetStreamSurvivesMalformedAnswers(t *testing.T) {
	kv := NewKVFromKVClient(&fakeKV{onStream: streamOf(io.EOF, nil, nil)}, nil)
	stream, err := kv.GetStream(t.Context(), "a", WithPrefix())
	require.NoError(t, err)
	for got := range stream {
		assert.NoError(t, got.Err())
		assert.Empty(t, got.Kvs)
	}

	unauthenticated := status.Error(codes.Unauthenticated, "who are you")
	kv = NewKVFromKVClient(&fakeKV{onStream: streamOf(unauthenticated)}, nil)
	stream, err = kv.GetStream(t.Context(), "a", WithPrefix())
	require.NoError(t, err)
	_, err = GetStreamToGetResponse(stream)
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
}
