package etcdfake

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	_ pb.WatchClient = (*WatchPipes)(nil)
	_ pb.LeaseClient = (*LeasePipes)(nil)
)

func createRequest(key string) *pb.WatchRequest {
	req := &pb.WatchCreateRequest{Key: []byte(key)}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: req}}
}

func TestPipesRendezvous(t *testing.T) {
	receive := make(chan struct{})
	c := WatchClient(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		md, _ := metadata.FromIncomingContext(ctx)
		<-receive
		req, err := recv()
		if err != nil {
			return err
		}
		if err := send(&pb.WatchResponse{Created: true,
			CancelReason: md.Get("who")[0] + string(req.GetCreateRequest().Key)}); err != nil {
			return err
		}
		return rpctypes.ErrGRPCNoLeader
	})
	defer c.Close()
	w, err := c.Watch(metadata.AppendToOutgoingContext(testContext(t), "who", "me"))
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() { sent <- w.Send(createRequest("a")) }()
	select {
	case <-sent:
		require.Fail(t, "Send returned before the other side received")
	case <-time.After(30 * time.Millisecond):
	}
	close(receive)
	require.NoError(t, <-sent)
	resp := new(pb.WatchResponse)
	require.NoError(t, w.RecvMsg(resp))
	assert.Equal(t, "mea", resp.CancelReason)
	_, err = w.Recv()
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.Equal(t, io.EOF, w.Send(createRequest("b")))
	require.Eventually(t, func() bool {
		open, total := c.Streams()
		return open == 0 && total == 1
	}, waitFor, tick)
}

func TestPipesEndWithContextAndClose(t *testing.T) {
	c := WatchClient(nil)
	ctx, cancel := context.WithCancel(testContext(t))
	w, err := c.Watch(ctx)
	require.NoError(t, err)
	require.NoError(t, w.Send(createRequest("a")))
	resp, err := w.Recv()
	require.NoError(t, err)
	assert.True(t, resp.Created)
	cancel()
	_, err = w.Recv()
	assert.Equal(t, codes.Canceled, status.Code(err))

	w, err = c.Watch(testContext(t))
	require.NoError(t, err)
	c.Close()
	_, err = w.Recv()
	assert.Equal(t, codes.Canceled, status.Code(err))
	open, total := c.Streams()
	assert.Equal(t, []int{0, 2}, []int{open, total})
	_, err = c.Watch(testContext(t))
	assert.Equal(t, codes.Unavailable, status.Code(err))
}

func TestPipesLease(t *testing.T) {
	c := LeaseClient(nil)
	defer c.Close()
	grant, err := c.LeaseGrant(testContext(t), &pb.LeaseGrantRequest{TTL: 9})
	require.NoError(t, err)
	ka, err := c.LeaseKeepAlive(testContext(t))
	require.NoError(t, err)
	for id, ttl := range map[int64]int64{grant.ID: 9, 12345: 0} {
		require.NoError(t, ka.Send(&pb.LeaseKeepAliveRequest{ID: id}))
		resp, err := ka.Recv()
		require.NoError(t, err)
		assert.Equal(t, ttl, resp.TTL)
	}
	require.NoError(t, ka.CloseSend())
	require.NoError(t, ka.CloseSend())
	require.Error(t, ka.Send(&pb.LeaseKeepAliveRequest{ID: 1}))
	_, err = ka.Recv()
	assert.Equal(t, io.EOF, err)
	ttl, err := c.LeaseTimeToLive(testContext(t), &pb.LeaseTimeToLiveRequest{ID: grant.ID})
	require.NoError(t, err)
	assert.Equal(t, int64(9), ttl.GrantedTTL)
	leases, err := c.LeaseLeases(testContext(t), &pb.LeaseLeasesRequest{})
	require.NoError(t, err)
	assert.Len(t, leases.Leases, 1)
	_, err = c.LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: grant.ID})
	require.NoError(t, err)
	_, err = c.LeaseRevoke(testContext(t), &pb.LeaseRevokeRequest{ID: grant.ID})
	assert.Equal(t, rpctypes.ErrLeaseNotFound, rpctypes.Error(err))
}
