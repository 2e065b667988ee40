package lease_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// scale is a test with many leases kept by one client.
type scale struct {
	leases   int
	ttl      int64
	duration time.Duration
	requests func() int // the renewals that the server has been asked for
}

// run keeps the leases for the duration, and checks that they cost what they may and that none is
// lost.
func (s scale) run(t *testing.T, client *clientv3.Client) {
	// opens the stream, with two goroutines of ours
	first := keep(t, client, context.Background(), grant(t, client, s.ttl))
	s.requests()
	goroutines := runtime.NumGoroutine()
	channels := append(s.keepAll(t, client), first)
	for i, ch := range channels[:s.leases-1] {
		require.NotNil(t, next(t, ch), "lease %d", i)
	}

	before, start, peak := s.requests(), time.Now(), 0
	for time.Since(start) < s.duration {
		peak = max(peak, runtime.NumGoroutine()-goroutines)
		time.Sleep(100 * time.Millisecond)
	}
	rate := float64(s.requests()-before) / time.Since(start).Seconds()

	for i, ch := range channels {
		require.True(t, isOpen(ch), "lease %d is lost", i)
	}
	resp, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, resp.Leases, s.leases)
	want := float64(s.leases) / (float64(s.ttl) / 3)
	t.Logf("%d leases of %d s for %v: %.0f renewals/s (%.1f %% of leases / (TTL/3)), %d goroutines more than before",
		s.leases, s.ttl, s.duration, rate, 100*rate/want, peak)
	assert.InEpsilon(t, want, rate, 0.1)
	assert.LessOrEqual(t, peak, 2)
}

// keepAll grants all leases but one and keeps them from then on, by a few callers at once.
func (s scale) keepAll(
	t *testing.T, client *clientv3.Client,
) []<-chan *clientv3.LeaseKeepAliveResponse {
	const callers = 16
	channels := make([]<-chan *clientv3.LeaseKeepAliveResponse, s.leases-1)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < len(channels); i += callers {
				resp, err := client.Grant(t.Context(), s.ttl)
				if !assert.NoError(t, err) {
					return
				}
				channels[i], err = client.KeepAlive(context.Background(), resp.ID)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed())
	return channels
}

// heapInUse is the least of a few looks: what others allocate while the collector runs counts as in
// use.
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

// channelSize is what one channel of KeepAlive takes, with its place in a slice.
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

// deafLeases is a lease service that takes all requests and answers none.
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

func TestManyLeasesOnAFake(t *testing.T) {
	fake := etcdfake.Start(t, etcdfake.WithCanned()) // no log of requests
	scale{
		leases: 2000, ttl: 3, duration: 4 * time.Second,
		requests: func() int { return fake.Calls("LeaseKeepAlive") },
	}.run(t, testclient.OpenFake(t, fake))
}

func TestManyLeasesOnARealServer(t *testing.T) {
	cluster := etcdtest.Start(t)
	scale{
		leases: 5000, ttl: 10, duration: 10 * time.Second,
		requests: func() int { return received(t, cluster) },
	}.run(t, testclient.Open(t, cluster))
}

// received is how many renewals the members of a cluster have been asked for.
func received(t *testing.T, cluster *etcdtest.Cluster) (n int) {
	for _, m := range cluster.Members() {
		count, err := m.Metric("grpc_server_msg_received_total", `grpc_method="LeaseKeepAlive"`)
		require.NoError(t, err)
		n += int(count)
	}
	return n
}
