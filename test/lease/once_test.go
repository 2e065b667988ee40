package lease_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestKeepAliveOnceHasAStreamAndAContextOfItsOwn(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 60)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "who", "me")
	resp, err := client.KeepAliveOnce(clientv3.WithRequireLeader(ctx), id)
	require.NoError(t, err)
	assert.Equal(t, id, resp.ID)
	assert.EqualValues(t, 60, resp.TTL)
	assert.NotZero(t, resp.Revision)
	md := fake.LastMetadata("LeaseKeepAlive")
	assert.Equal(t, []string{"me"}, md.Get("who"))
	assert.Equal(t, []string{rpctypes.MetadataHasLeader}, md.Get(rpctypes.MetadataRequireLeaderKey))
	open, total := fake.Streams("LeaseKeepAlive")
	assert.Zero(t, open, "the server has ended it")
	assert.Equal(t, 1, total)

	_, err = client.KeepAliveOnce(t.Context(), 42)
	assert.Equal(t, rpctypes.ErrLeaseNotFound, err)
}

func TestAServerThatDoesNotEndTheStreamIsNotWaitedForLong(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	fake.KeepAlive(func(ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		req, err := recv()
		if err != nil {
			return err
		}
		if err := send(&pb.LeaseKeepAliveResponse{ID: req.ID, TTL: 5}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	took := testclient.Stopwatch(t)
	_, err := client.KeepAliveOnce(t.Context(), 1)
	require.NoError(t, err)
	assert.Less(t, took(), 3*time.Second)
	require.Eventually(t, func() bool {
		open, _ := fake.Streams("LeaseKeepAlive")
		return open == 0
	}, soon, time.Millisecond)
}

func TestKeepAliveOnceRepeatsItselfWithRestraint(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 60)
	fake.Fail("LeaseKeepAlive", etcdfake.Forever,
		status.Error(codes.Unavailable, "come back later"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := client.KeepAliveOnce(ctx, id)
	assert.Equal(t, context.DeadlineExceeded, err)
	_, total := fake.Streams("LeaseKeepAlive")
	assert.Less(t, total, 20)
	assert.Greater(t, total, 3)

	fake.Fail("LeaseKeepAlive", 0, nil)
	fake.Fail("LeaseKeepAlive", 3, status.Error(codes.Unavailable, "come back later"))
	_, err = client.KeepAliveOnce(t.Context(), id)
	require.NoError(t, err)
}

func TestKeepAliveOnceReturnsTheStatus(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake, func(cfg *clientv3.Config) { cfg.MaxUnaryRetries = 3 })
	for _, tc := range []struct {
		fail, want error
		streams    int
	}{
		{status.Error(codes.Unavailable, "x"), status.Error(codes.Unavailable, "x"), 3},
		{status.Error(codes.Internal, "x"), status.Error(codes.Internal, "x"), 3},
		{rpctypes.ErrGRPCNoLeader, rpctypes.ErrNoLeader, 3},
		{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrPermissionDenied, 1},
		{rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrInvalidAuthToken, 3},
		{status.Error(codes.Unimplemented, "x"), status.Error(codes.Unimplemented, "x"), 1},
	} {
		fake.Fail("LeaseKeepAlive", etcdfake.Forever, tc.fail)
		_, before := fake.Streams("LeaseKeepAlive")
		_, err := client.KeepAliveOnce(t.Context(), 1)
		assert.Equal(t, tc.want.Error(), err.Error())
		assert.Equal(t, status.Code(tc.want), status.Code(err))
		_, total := fake.Streams("LeaseKeepAlive")
		assert.Equal(t, tc.streams, total-before, "%v", tc.fail)
		fake.Fail("LeaseKeepAlive", 0, nil)
	}
	fake.KeepAlive(func(context.Context, func() (*pb.LeaseKeepAliveRequest, error),
		func(*pb.LeaseKeepAliveResponse) error) error {
		return nil // clients see io.EOF
	})
	_, err := client.KeepAliveOnce(t.Context(), 1)
	assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
}

func TestCloseEndsKeepAliveOnce(t *testing.T) {
	for name, hinder := range map[string]func(*etcdfake.Server){
		"mute": func(fake *etcdfake.Server) { fake.Delay("LeaseKeepAlive", time.Hour) },
		"unavailable": func(fake *etcdfake.Server) {
			fake.Fail("LeaseKeepAlive", etcdfake.Forever, rpctypes.ErrGRPCStopped)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := etcdfake.Start(t)
			client := testclient.OpenFake(t, fake)
			hinder(fake)
			done := make(chan error, 1)
			go func() {
				_, err := client.KeepAliveOnce(t.Context(), 1)
				done <- err
			}()
			require.Eventually(t, func() bool {
				_, total := fake.Streams("LeaseKeepAlive")
				return total > 0
			}, soon, time.Millisecond)
			require.NoError(t, client.Close())
			select {
			case err := <-done:
				assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
			case <-time.After(soon):
				require.FailNow(t, "it goes on")
			}
			_, err := client.KeepAliveOnce(t.Context(), 1)
			assert.True(t, clientv3.IsConnCanceled(err), "%v", err)
		})
	}
}

// TestKeepAliveOnceLeavesASilentMember: when KeepAliveOnce has had no answer for half a second, it
// makes the client probe the members. The client's health checks count only unary requests, but
// KeepAliveOnce uses a stream. So without that probe, a client that makes no other calls would not
// notice a silent member.
func TestKeepAliveOnceLeavesASilentMember(t *testing.T) {
	t.Parallel()
	members := etcdfake.StartCluster(t, 3)
	proxy := faultnet.New(t, members[0].Addr())
	client := testclient.OpenFake(t, members[1], func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{proxy.Addr(), members[1].Addr(), members[2].Addr()}
	})
	id := grant(t, client, 60)
	require.Eventually(t, func() bool {
		_, err := client.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0 &&
			members[2].Calls("Range") > 0
	}, soon, time.Millisecond, "all members are connected")
	proxy.Blackhole(faultnet.Both)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 6 { // two at each member
		all.Go(func() {
			_, err := client.KeepAliveOnce(ctx, id)
			assert.NoError(t, err)
		})
	}
	all.Wait()
}
