package clientv3

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// TestLeasesOutliveABlackhole keeps 200 leases of 5 s through 4 s in which the
// member that serves them is cut off, on a client that does nothing else.
func TestLeasesOutliveABlackhole(t *testing.T) {
	b := newBench3(t, Config{})
	var ended atomic.Int64
	for range 200 {
		lease, err := b.client.Grant(t.Context(), 5)
		require.NoError(t, err)
		ch, err := b.client.KeepAlive(t.Context(), lease.ID)
		require.NoError(t, err)
		go func() { // ends with the channel, which the client's Close closes
			for range ch {
			}
			ended.Add(1)
		}()
	}
	time.Sleep(3 * time.Second)
	serving := busiest(b)
	serving.Blackhole(faultnet.Both)
	time.Sleep(4 * time.Second)
	serving.Heal()
	time.Sleep(6 * time.Second) // longer than a lease lives without renewal
	assert.Zero(t, ended.Load(), "channels that ended")
	resp, err := b.client.Leases(t.Context())
	require.NoError(t, err)
	assert.Len(t, resp.Leases, 200, "leases that live")
}

// busiest is the proxy that carries most, measured over a second.
func busiest(b *bench3) *faultnet.Proxy {
	before := make([]int64, len(b.proxies))
	for i, p := range b.proxies {
		before[i] = p.Bytes(faultnet.Both)
	}
	time.Sleep(1700 * time.Millisecond)
	best, most := b.proxies[0], int64(-1)
	for i, p := range b.proxies {
		if n := p.Bytes(faultnet.Both) - before[i]; n > most {
			best, most = p, n
		}
	}
	return best
}

// TestIdleWatchLeavesASilentMember: the member that serves an idle watch is cut off; what
// another client puts arrives within 4 s.
func TestIdleWatchLeavesASilentMember(t *testing.T) {
	for name, dir := range map[string]faultnet.Direction{"blackhole": faultnet.Both,
		"one way lost": faultnet.ToClient} {
		t.Run(name, func(t *testing.T) {
			b := newBench3(t, Config{})
			events := b.client.Watch(t.Context(), "k")
			writer := newTestClient(t, Config{Endpoints: b.cluster.Endpoints()})
			put := func(ctx context.Context) {
				_, err := writer.Put(ctx, "k", "v")
				require.NoError(t, err)
			}
			put(t.Context())
			require.Len(t, (<-events).Events, 1)
			serving := busiest(b)
			serving.Blackhole(dir)
			start := time.Now()
			put(t.Context())
			resp := <-events
			require.Len(t, resp.Events, 1)
			assert.False(t, resp.IsProgressNotify())
			assert.Less(t, time.Since(start), 4*time.Second)
			t.Log("stalled for", time.Since(start))
		})
	}
}
