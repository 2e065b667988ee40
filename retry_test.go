package clientv3

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/keepalive"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"go.etcd.io/etcd/client/v3/internal/watch"
)

func TestWaitBetweenAndJitter(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"},
		BackoffWaitBetween: time.Second, BackoffJitterFraction: 0.25})
	p := c.retryConfig().Backoff
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := p.Delay(0)
		low, high = min(low, d), max(high, d)
	}
	assert.InDelta(t, 750, low.Milliseconds(), 25)
	assert.InDelta(t, 1250, high.Milliseconds(), 25)
}

// TestWaitsGrowAndAreJittered: the waits between attempts to open a stream or to renew a lease
// grow, differ at random, and allow fewer than twenty attempts in the first second.
func TestWaitsGrowAndAreJittered(t *testing.T) {
	for name, p := range map[string]backoff.Policy{"watches": watch.StreamBackoff,
		"keepalives": keepalive.StreamBackoff, "KeepAliveOnce": keepalive.OnceBackoff} {
		mean := func(attempt int) (mean time.Duration, differ bool) {
			const draws = 1000
			first := p.Delay(attempt)
			for range draws {
				d := p.Delay(attempt)
				mean += d / draws
				differ = differ || d != first
			}
			return mean, differ
		}
		last, total := time.Duration(0), time.Duration(0)
		for attempt := range 4 {
			d, differ := mean(attempt)
			assert.True(t, differ, "%s: attempt %d always waits %v", name, attempt, d)
			assert.Greater(t, d, last*3/2, "%s: attempt %d", name, attempt)
			last, total = d, total+d
		}
		later, _ := mean(100)
		assert.Greater(t, total+16*later, time.Second, name)
		assert.LessOrEqual(t, later, maxBackoffWait, name)
	}
}

// cannedConn answers at once and allocates nothing, so that all allocations are the client's.
type cannedConn struct{ grpc.ClientConnInterface }

func (cannedConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return nil }

// TestRequestAllocations shows that a request of a client takes at most 5 allocations and 600 bytes
// more than a request of gRPC's generated stub.
func TestRequestAllocations(t *testing.T) {
	c := NewCtxClient(t.Context())
	defer c.Close()
	c.cfg = Config{}.withDefaults()
	c.rpc = retry.New(cannedConn{}, c.retryConfig())
	stub, kv, ctx := pb.NewKVClient(cannedConn{}), NewKV(c), t.Context()
	put, get := &pb.PutRequest{}, &pb.RangeRequest{}
	for _, tc := range []struct {
		name string
		bare func() error // the stub's call
		ours func() error // the client's
	}{
		{
			"Put",
			func() error { _, err := stub.Put(ctx, put); return err },
			func() error {
				_, err := kv.Put(ctx, "a key of a usual length", "and its value")
				return err
			},
		},
		{
			"Get",
			func() error { _, err := stub.Range(ctx, get); return err },
			func() error { _, err := kv.Get(ctx, "a key of a usual length"); return err },
		},
	} {
		bareCount, bareBytes := allocated(t, tc.bare)
		count, bytes := allocated(t, tc.ours)
		t.Logf("%s: %.1f allocations and %.0f bytes above the stub", tc.name, count-bareCount,
			bytes-bareBytes)
		assert.Less(t, count-bareCount, 5.1, tc.name)
		assert.Less(t, bytes-bareBytes, 600.0, tc.name)
	}
}

// allocated returns the number and the bytes of the allocations of one call.
func allocated(t *testing.T, call func() error) (count, bytes float64) {
	const calls = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls,
		float64(after.TotalAlloc-before.TotalAlloc) / calls
}
