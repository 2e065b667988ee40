package kv_test

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
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/kvstub"
)

// streaming returns a KV over a stub whose RangeStream calls the function open. If client is not
// nil, closing it ends the streams.
func streaming(
	open func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error),
	client *clientv3.Client,
) clientv3.KV {
	return clientv3.NewKVFromKVClient(&kvstub.Stub{OnStream: open}, client)
}

// endless is a stream that never ends. recvs counts the calls of Recv.
type endless struct {
	kvstub.Stream
	recvs int
}

func (s *endless) Recv() (*pb.RangeStreamResponse, error) {
	s.recvs++
	s.Msgs = []*pb.RangeStreamResponse{{RangeResponse: kvstub.Piece("k")}}
	return s.Stream.Recv()
}

func (s *endless) open(ctx context.Context, _ *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
	s.Ctx = ctx
	return s, nil
}

func TestGetStreamDeliversPieces(t *testing.T) {
	pieces := []*pb.RangeResponse{kvstub.Piece("a", "b"), kvstub.Piece("c"),
		kvstub.LastPiece(4, "d")}
	var sent *pb.RangeRequest
	open := kvstub.StreamOf(io.EOF, pieces...)
	kv := streaming(func(ctx context.Context,
		req *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		sent = req
		return open(ctx, req)
	}, nil)

	stream, err := kv.GetStream(t.Context(), "a", clientv3.WithRange("z"), clientv3.WithLimit(8),
		clientv3.WithRev(3),
		clientv3.WithSerializable(), clientv3.WithKeysOnly())
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
	kv := streaming(kvstub.StreamOf(io.EOF, kvstub.Piece("a", "b"), nil,
		kvstub.Piece("c"), kvstub.LastPiece(7, "d")), nil)
	stream, err := kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	require.NoError(t, err)
	got, err := clientv3.GetStreamToGetResponse(stream)
	require.NoError(t, err)
	requireProto(t, kvstub.LastPiece(7, "a", "b", "c", "d"), (*pb.RangeResponse)(got))

	empty := make(chan clientv3.RangeStreamResponse, 1)
	empty <- clientv3.RangeStreamResponse{}
	close(empty)
	got, err = clientv3.GetStreamToGetResponse(empty)
	require.NoError(t, err)
	requireProto(t, &pb.RangeResponse{}, (*pb.RangeResponse)(got))
}

func TestGetStreamEndsWithItsError(t *testing.T) {
	kv := streaming(kvstub.StreamOf(rpctypes.ErrGRPCCompacted, kvstub.Piece("a")), nil)
	stream, err := kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	require.NoError(t, err)
	first := <-stream
	require.NoError(t, first.Err())
	last := <-stream
	assert.Equal(t, rpctypes.ErrCompacted, last.Err())
	assert.Empty(t, last.Kvs, "the fields of the error can be read")
	_, open := <-stream
	assert.False(t, open)

	stream, err = kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	require.NoError(t, err)
	whole, err := clientv3.GetStreamToGetResponse(stream)
	assert.Nil(t, whole)
	assert.ErrorIs(t, err, rpctypes.ErrCompacted)
}

func TestGetStreamThatCannotBeOpened(t *testing.T) {
	kv := streaming(func(context.Context,
		*pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		return nil, rpctypes.ErrGRPCPermissionDenied
	}, nil)
	stream, err := kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	assert.Nil(t, stream)
}

// TestAbandonedGetStreamEndsWithItsContext reads one piece of an endless stream. The client
// receives at most two more pieces. When the context is canceled, the RPC ends. If it left a
// goroutine behind, synctest would fail the test.
func TestAbandonedGetStreamEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &endless{}
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := streaming(remote.open, nil).GetStream(ctx, "a",
			clientv3.WithPrefix())
		require.NoError(t, err)
		<-stream
		synctest.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.LessOrEqual(t, remote.recvs, 3,
			"pieces taken from the server for a consumer that read one")
		cancel()
		synctest.Wait()
		assert.Error(t, remote.Ctx.Err(), "the RPC goes on")
	})
}

// TestLateReaderLearnsThatTheStreamIsCutOff reads a stream after its context has ended. The error
// shows the reader that the pieces are not the whole answer.
func TestLateReaderLearnsThatTheStreamIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := &endless{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := streaming(remote.open, nil).GetStream(ctx, "a",
			clientv3.WithPrefix())
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = clientv3.GetStreamToGetResponse(stream)
		assert.Equal(t, context.DeadlineExceeded, err)
	})
}

// TestClosingTheClientEndsStreams closes the client of a stream that waits for its reader, and of
// one that waits for its server.
func TestClosingTheClientEndsStreams(t *testing.T) {
	opens := map[string]func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error){
		"slow reader":   (&endless{}).open,
		"silent server": kvstub.StreamOf(nil),
	}
	for name, open := range opens {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := clientv3.NewCtxClient(t.Context())
				stream, err := streaming(open, client).GetStream(t.Context(), "a",
					clientv3.WithPrefix())
				require.NoError(t, err)
				synctest.Wait()
				require.NoError(t, client.Close())
				_, err = clientv3.GetStreamToGetResponse(stream)
				assert.Equal(t, context.Canceled, err)
			})
		})
	}
}

// TestGetStreamDuringClose closes a client while goroutines open streams. Each stream ends, and
// Close waits for those that were open.
func TestGetStreamDuringClose(t *testing.T) {
	for range 20 {
		client := clientv3.NewCtxClient(t.Context())
		kv := streaming(kvstub.StreamOf(nil, kvstub.Piece("a")), client)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					stream, err := kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
					if err != nil {
						assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
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

func TestGetStreamSurvivesMalformedAnswers(t *testing.T) {
	kv := streaming(kvstub.StreamOf(io.EOF, nil, nil), nil)
	stream, err := kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	require.NoError(t, err)
	for got := range stream {
		assert.NoError(t, got.Err())
		assert.Empty(t, got.Kvs)
	}

	unauthenticated := status.Error(codes.Unauthenticated, "who are you")
	kv = streaming(kvstub.StreamOf(unauthenticated), nil)
	stream, err = kv.GetStream(t.Context(), "a", clientv3.WithPrefix())
	require.NoError(t, err)
	_, err = clientv3.GetStreamToGetResponse(stream)
	assert.Equal(t, codes.Unauthenticated, status.Code(err))
}
