package lease_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestKeepAliveAsksAgainBeforeALeaseIsGone: a member that has not applied the grant yet answers a
// renewal as if the lease did not exist. The client does not end the keepalive at once. It first
// asks for the TTL of the lease, and so learns that the lease exists.
func TestKeepAliveAsksAgainBeforeALeaseIsGone(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	var denials atomic.Int32
	denials.Store(2)
	fake.KeepAlive(func(ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		return fake.ServeKeepAlive(ctx, recv, func(resp *pb.LeaseKeepAliveResponse) error {
			if denials.Add(-1) >= 0 {
				resp.TTL = 0
			}
			return send(resp)
		})
	})
	id := grant(t, client, 60)
	keep(t, client, t.Context(), id)
	assert.Equal(t, 2, fake.Calls("LeaseTimeToLive"))

	denials.Store(2)
	resp, err := client.KeepAliveOnce(t.Context(), id)
	require.NoError(t, err)
	assert.EqualValues(t, 60, resp.TTL)
}

// TestQuestionAboutALeaseGoesToAnotherMember: the member that serves the keepalive stream lags
// behind, and answers each request as if the lease did not exist. The client asks the other member
// for the TTL.
func TestQuestionAboutALeaseGoesToAnotherMember(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	var denier atomic.Pointer[etcdfake.Server]
	var asked atomic.Int32
	for _, m := range members {
		m.KeepAlive(func(ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
			send func(*pb.LeaseKeepAliveResponse) error) error {
			denier.CompareAndSwap(nil, m)
			return m.ServeKeepAlive(ctx, recv, func(resp *pb.LeaseKeepAliveResponse) error {
				if denier.Load() == m {
					resp.TTL = 0
				}
				return send(resp)
			})
		})
		m.Unary("LeaseTimeToLive", func(ctx context.Context, req proto.Message) (proto.Message,
			error) {
			if denier.Load() == m {
				asked.Add(1)
				return &pb.LeaseTimeToLiveResponse{ID: req.(*pb.LeaseTimeToLiveRequest).ID,
					TTL: -1}, nil
			}
			return m.Apply(ctx, "LeaseTimeToLive", req)
		})
	}
	client := testclient.OpenFake(t, members[0], func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{members[0].Addr(), members[1].Addr()}
	})
	for _, m := range members {
		require.Eventually(t, func() bool {
			_, err := client.Get(t.Context(), "key")
			return err == nil && m.Calls("Range") > 0
		}, soon, time.Millisecond, "both members are connected")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		// The client sends requests to its members in turn. With these reads in between, any member
		// can get the next request of the test.
		for ctx.Err() == nil {
			_, _ = client.Get(ctx, "key")
		}
	})
	defer others.Wait()
	defer cancel()
	for range 20 {
		denier.Store(nil)
		resp, err := client.KeepAliveOnce(t.Context(), grant(t, client, 60))
		require.NoError(t, err)
		assert.EqualValues(t, 60, resp.TTL)
	}
	for range 3 {
		denier.Store(nil)
		lease := clientv3.NewLease(client)
		keep(t, lease, t.Context(), grant(t, client, 60)) // the other member renews the lease
		require.NoError(t, lease.Close())
	}
	assert.Zero(t, asked.Load(), "questions to the member that lags")
}

// TestManyDeniedLeasesAreConfirmedTogether: the server answers the renewals of 160 leases as if the
// leases did not exist. To make sure, the client asks for the TTL of each lease. It makes 16 of
// these requests at a time.
func TestManyDeniedLeasesAreConfirmedTogether(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	var mu sync.Mutex
	asking, most := 0, 0
	fake.Unary("LeaseTimeToLive", func(ctx context.Context, req proto.Message) (proto.Message,
		error) {
		mu.Lock()
		asking++
		most = max(most, asking)
		mu.Unlock()
		time.Sleep(100 * time.Millisecond) // a slow answer
		mu.Lock()
		asking--
		mu.Unlock()
		return fake.Apply(ctx, "LeaseTimeToLive", req)
	})
	var channels []<-chan *clientv3.LeaseKeepAliveResponse
	for id := range clientv3.LeaseID(160) {
		channels = append(channels, keepMore(t, client, t.Context(), 1000+id))
	}
	for _, ch := range channels {
		waitClosed(t, ch)
	}
	assert.Equal(t, 160, fake.Calls("LeaseTimeToLive"))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, 16, most)
}

// TestWithoutLeasesNoKeepAliveStreamIsOpened: a stream that ends while no lease is kept is opened
// again by the next KeepAlive only.
func TestWithoutLeasesNoKeepAliveStreamIsOpened(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 60)
	ctx, cancel := context.WithCancel(t.Context())
	ch := keep(t, client, ctx, id)
	cancel()
	waitClosed(t, ch)
	refusal := status.Error(codes.Unimplemented, "404 (Not Found)")
	fake.Fail("LeaseKeepAlive", 1000, refusal)
	require.Equal(t, 1, fake.Break("LeaseKeepAlive", refusal))
	_, before := fake.Streams("LeaseKeepAlive")
	calls := fake.Calls("LeaseKeepAlive")
	time.Sleep(time.Second) // the time during which no stream may be opened
	_, after := fake.Streams("LeaseKeepAlive")
	assert.Equal(t, before, after)
	assert.Equal(t, calls, fake.Calls("LeaseKeepAlive"))

	fake.Fail("LeaseKeepAlive", 0, nil)
	keep(t, client, t.Context(), id)
}
