package lease_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// heapInUse returns the least of a few measurements: memory that other goroutines allocate while
// the collector runs counts as in use.
func heapInUse() int64 {
	least := int64(math.MaxInt64)
	for range 5 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int64(m.HeapAlloc))
	}
	return least
}

// channelSize returns the size in bytes of a channel like the one that KeepAlive returns, plus the
// size of the slice element that refers to the channel.
func channelSize() float64 {
	const n = 1000
	before := heapInUse()
	channels := make([]chan *clientv3.LeaseKeepAliveResponse, n)
	for i := range channels {
		channels[i] = make(chan *clientv3.LeaseKeepAliveResponse, clientv3.LeaseResponseChSize)
	}
	size := float64(heapInUse()-before) / n
	runtime.KeepAlive(channels)
	return size
}

// deafLeases is a lease service that accepts all requests and answers none.
type deafLeases struct{ pb.LeaseClient }

type deafStream struct {
	pb.Lease_LeaseKeepAliveClient
	ctx context.Context
}

func (deafLeases) LeaseKeepAlive(
	ctx context.Context, _ ...grpc.CallOption,
) (pb.Lease_LeaseKeepAliveClient, error) {
	return deafStream{ctx: ctx}, nil
}

func (deafStream) Send(*pb.LeaseKeepAliveRequest) error { return nil }

func (s deafStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

// TestBytesPerLease: a kept lease needs less than 500 bytes in addition to its channel, whether or
// not its context can end.
func TestBytesPerLease(t *testing.T) {
	const leases = 20_000
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, ctx := range map[string]context.Context{"never done": context.Background(),
		"cancellable": cancellable} {
		lease := clientv3.NewLeaseFromLeaseClient(deafLeases{}, nil, time.Hour)
		channels := make([]<-chan *clientv3.LeaseKeepAliveResponse, leases)
		before := heapInUse()
		for i := range channels {
			var err error
			channels[i], err = lease.KeepAlive(ctx, clientv3.LeaseID(i))
			require.NoError(t, err)
		}
		perLease := float64(heapInUse()-before)/leases - channelSize()
		runtime.KeepAlive(channels)
		require.NoError(t, lease.Close())
		t.Logf("context %s: %.0f B a lease besides its channel", name, perLease)
		assert.Less(t, perLease, 500.0)
	}
}
