package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// timedLeases is an in-process lease service. It records when each lease's renewals are sent.
type timedLeases struct {
	pb.LeaseClient
	mu   sync.Mutex
	sent map[int64][]time.Time
}

func (l *timedLeases) LeaseKeepAlive(
	ctx context.Context, opts ...grpc.CallOption,
) (pb.Lease_LeaseKeepAliveClient, error) {
	stream, err := l.LeaseClient.LeaseKeepAlive(ctx, opts...)
	return timedStream{stream, l}, err
}

type timedStream struct {
	pb.Lease_LeaseKeepAliveClient
	leases *timedLeases
}

func (s timedStream) Send(req *pb.LeaseKeepAliveRequest) error {
	s.leases.mu.Lock()
	s.leases.sent[req.ID] = append(s.leases.sent[req.ID], time.Now())
	s.leases.mu.Unlock()
	return s.Lease_LeaseKeepAliveClient.Send(req)
}

// inVirtualTime runs a test of a Lease whose server is in the process. If h is not nil, it serves
// the keepalive streams.
func inVirtualTime(
	t *testing.T, h pipes.Handler[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse],
	test func(*testing.T, clientv3.Lease, *timedLeases),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		leases := pb.NewLeaseClient(etcdfake.New(t).Client().ActiveConnection())
		if h != nil {
			streams := pipes.NewLease(leases, h)
			defer streams.Close()
			leases = streams
		}
		server := &timedLeases{LeaseClient: leases, sent: map[int64][]time.Time{}}
		lease := clientv3.NewLeaseFromLeaseClient(server, nil, time.Second)
		defer func() { assert.NoError(t, lease.Close()) }()
		test(t, lease, server)
	})
}

func TestRenewalsGoOutAThirdOfTheTTLApart(t *testing.T) {
	inVirtualTime(t, nil, func(t *testing.T, lease clientv3.Lease, server *timedLeases) {
		id := grant(t, lease, 2)
		_, err := lease.KeepAlive(t.Context(), id) // its channel is not read
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		at := server.sent[int64(id)]
		require.Greater(t, len(at), 6)
		assert.InDelta(t, 2*time.Second/3, at[6].Sub(at[0])/6, float64(70*time.Millisecond))
		all, err := lease.Leases(t.Context())
		require.NoError(t, err)
		assert.Len(t, all.Leases, 1)
	})
}

// TestMuteServerIsNotFlooded: if the server does not answer renewals, the client sends them no more
// often than usual.
func TestMuteServerIsNotFlooded(t *testing.T) {
	var answered sync.Map
	firstOnly := func(_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		for {
			req, err := recv()
			if err != nil {
				return err
			}
			if _, again := answered.LoadOrStore(req.ID, true); again {
				continue
			}
			if err := send(&pb.LeaseKeepAliveResponse{ID: req.ID, TTL: 6}); err != nil {
				return err
			}
		}
	}
	inVirtualTime(t, firstOnly, func(t *testing.T, lease clientv3.Lease, server *timedLeases) {
		for range 10 {
			keep(t, lease, t.Context(), grant(t, lease, 6))
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Len(t, server.sent, 10)
		for _, at := range server.sent {
			at = at[1:] // without the first renewal, which the server answered
			assert.LessOrEqual(t, len(at), 3)
			assert.NotEmpty(t, at)
			for i := range at[1:] {
				assert.Greater(t, at[i+1].Sub(at[i]), 1500*time.Millisecond,
					"a third of the TTL, less jitter")
			}
		}
	})
}
