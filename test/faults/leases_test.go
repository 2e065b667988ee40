package faults_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// scale describes a test in which one client keeps many leases.
type scale struct {
	leases   int
	ttl      int64
	duration time.Duration
	requests func() int // the number of renewals that the server has received
}

// run keeps the leases for the duration. It checks that no lease is lost, that each is renewed
// every third of its TTL, and that leases have no goroutines of their own.
func (s scale) run(t *testing.T, client *clientv3.Client) {
	// The first lease opens the stream, which has two goroutines of the client.
	first := s.keep(t, client)
	require.NotNil(t, <-first)
	s.requests()
	goroutines := runtime.NumGoroutine()
	channels := append(s.keepAll(t, client), first)
	for i, ch := range channels[:s.leases-1] {
		require.NotNil(t, <-ch, "lease %d", i)
	}

	before, start, elapsed, peak := s.requests(), time.Now(), testclient.Stopwatch(t), 0
	goroutines++ // the stopwatch has one
	for time.Since(start) < s.duration {
		peak = max(peak, runtime.NumGoroutine()-goroutines)
		time.Sleep(100 * time.Millisecond)
	}
	renewals := float64(s.requests() - before)
	atLeast, atMost := elapsed().Seconds(), time.Since(start).Seconds()

	for _, ch := range channels {
		for len(ch) > 0 {
			<-ch
		}
	}
	for i, ch := range channels {
		require.NotNil(t, <-ch, "lease %d is lost", i)
	}
	resp, err := client.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, resp.Leases, s.leases)
	want := float64(s.leases) / (float64(s.ttl) / 3)
	t.Logf("%d leases of %d s for %v: %.0f renewals/s (%.1f %% of leases / (TTL/3)), %d goroutines more than before",
		s.leases, s.ttl, s.duration, renewals/atMost, 100*renewals/atMost/want, peak)
	assert.Greater(t, renewals, 0.9*want*atLeast)
	assert.Less(t, renewals, 1.1*want*atMost)
	assert.LessOrEqual(t, peak, 2)
}

// keep grants a lease and keeps it alive. It returns the channel of the answers.
func (s scale) keep(
	t *testing.T, client *clientv3.Client,
) <-chan *clientv3.LeaseKeepAliveResponse {
	resp, err := client.Grant(t.Context(), s.ttl)
	if !assert.NoError(t, err) {
		return nil
	}
	ch, err := client.KeepAlive(context.Background(), resp.ID)
	assert.NoError(t, err)
	return ch
}

// keepAll grants and keeps alive s.leases-1 leases, from a few goroutines. The caller has the first
// lease.
func (s scale) keepAll(
	t *testing.T, client *clientv3.Client,
) []<-chan *clientv3.LeaseKeepAliveResponse {
	const callers = 16
	channels := make([]<-chan *clientv3.LeaseKeepAliveResponse, s.leases-1)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < len(channels); i += callers {
				if channels[i] = s.keep(t, client); channels[i] == nil {
					return
				}
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed())
	return channels
}

func TestManyLeasesOnAFake(t *testing.T) {
	fake := etcdfake.Start(t, etcdfake.WithCanned()) // WithCanned turns the request log off
	scale{
		leases: 2000, ttl: 6, duration: 6 * time.Second,
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

// received returns how many requests for renewals the members of a cluster have received.
func received(t *testing.T, cluster *etcdtest.Cluster) (n int) {
	for _, m := range cluster.Members() {
		count, err := m.Metric("grpc_server_msg_received_total", `grpc_method="LeaseKeepAlive"`)
		require.NoError(t, err)
		n += int(count)
	}
	return n
}
