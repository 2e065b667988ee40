package pipes_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ pb.WatchClient = (*pipes.Watch)(nil)
	_ pb.LeaseClient = (*pipes.Lease)(nil)
)

func createRequest(key string) *pb.WatchRequest {
	req := &pb.WatchCreateRequest{Key: []byte(key)}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}}
}

// confirmOne confirms one watch and ends the stream with the error that the function end returns.
// The CancelReason of its response is the value of the stream's metadata "who", or, without such
// metadata, the watched key.
func confirmOne(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
	end func() error,
) error {
	md, _ := metadata.FromIncomingContext(ctx)
	req, err := recv()
	if err != nil {
		return err
	}
	who := append(md.Get("who"), string(req.GetCreateRequest().GetKey()))
	if err := send(&pb.WatchResponse{Created: true, CancelReason: who[0]}); err != nil {
		return err
	}
	return end()
}

func TestSendWaitsForTheOtherSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receive := make(chan struct{})
		c := pipes.NewWatch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
			send func(*pb.WatchResponse) error) error {
			<-receive
			return confirmOne(ctx, recv, send, func() error { return rpctypes.ErrGRPCNoLeader })
		})
		defer c.Close()
		w, err := c.Watch(metadata.AppendToOutgoingContext(t.Context(), "who", "me"))
		require.NoError(t, err)
		sent := make(chan error, 1)
		go func() { sent <- w.Send(createRequest("a")) }()
		synctest.Wait()
		require.Empty(t, sent)
		close(receive)
		require.NoError(t, <-sent)
		resp := new(pb.WatchResponse)
		require.NoError(t, w.RecvMsg(resp))
		assert.Equal(t, "me", resp.CancelReason)
		_, err = w.Recv()
		assert.Equal(t, codes.Unavailable, status.Code(err))
		assert.Equal(t, io.EOF, w.Send(createRequest("b")))
		synctest.Wait()
		open, total := c.Streams()
		assert.Equal(t, []int{0, 1}, []int{open, total})
	})
}

func TestStreamsEndWithContextAndClose(t *testing.T) {
	c := pipes.NewWatch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return confirmOne(ctx, recv, send, func() error {
			<-ctx.Done()
			return ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	w, err := c.Watch(ctx)
	require.NoError(t, err)
	require.NoError(t, w.Send(createRequest("a")))
	resp, err := w.Recv()
	require.NoError(t, err)
	assert.True(t, resp.Created)
	cancel()
	_, err = w.Recv()
	assert.Equal(t, codes.Canceled, status.Code(err))

	w, err = c.Watch(t.Context())
	require.NoError(t, err)
	c.Close()
	_, err = w.Recv()
	assert.Equal(t, codes.Canceled, status.Code(err))
	open, total := c.Streams()
	assert.Equal(t, []int{0, 2}, []int{open, total})
	_, err = c.Watch(t.Context())
	assert.Equal(t, codes.Unavailable, status.Code(err))
}

func TestHalfCloseEndsReceiving(t *testing.T) {
	c := pipes.NewLease(nil, func(_ context.Context,
		recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		for {
			req, err := recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := send(&pb.LeaseKeepAliveResponse{ID: req.ID, TTL: 9}); err != nil {
				return err
			}
		}
	})
	defer c.Close()
	ka, err := c.LeaseKeepAlive(t.Context())
	require.NoError(t, err)
	require.NoError(t, ka.Send(&pb.LeaseKeepAliveRequest{ID: 1}))
	resp, err := ka.Recv()
	require.NoError(t, err)
	assert.EqualValues(t, 9, resp.TTL)
	require.NoError(t, ka.CloseSend())
	require.NoError(t, ka.CloseSend())
	require.Error(t, ka.Send(&pb.LeaseKeepAliveRequest{ID: 1}))
	_, err = ka.Recv()
	assert.Equal(t, io.EOF, err)
}
