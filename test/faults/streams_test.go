package faults_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestLeasesOutliveABlackhole: a client keeps 200 leases of 5 s alive and sends nothing else. The
// member that gets the renewals is cut off for 4 s. No lease is lost.
func TestLeasesOutliveABlackhole(t *testing.T) {
	const leases = 200
	b := newBench3(t, clientv3.Config{})
	var ended atomic.Int64
	answers := make([]atomic.Int64, leases)
	for i := range leases {
		lease, err := b.client.Grant(t.Context(), 5)
		require.NoError(t, err)
		ch, err := b.client.KeepAlive(t.Context(), lease.ID)
		require.NoError(t, err)
		go func() { // ends with the channel, which the client's Close closes
			for range ch {
				answers[i].Add(1)
			}
			ended.Add(1)
		}()
	}
	// awaitRenewals waits for two answers: the first may answer a renewal that was sent before
	// awaitRenewals was called.
	awaitRenewals := func() {
		var before [leases]int64
		for i := range answers {
			before[i] = answers[i].Load()
		}
		for i := range answers {
			testclient.Eventually(t, func() bool {
				return answers[i].Load() >= before[i]+2 || ended.Load() > 0
			}, "lease %d is renewed", i)
		}
	}
	awaitRenewals()
	serving := b.serving("LeaseKeepAlive")
	serving.Blackhole(faultnet.Both)
	time.Sleep(4 * time.Second) // how long the fault lasts
	serving.Heal()
	awaitRenewals()
	assert.Zero(t, ended.Load(), "channels that ended")
	resp, err := b.client.Leases(t.Context())
	require.NoError(t, err)
	assert.Len(t, resp.Leases, leases, "leases that live")
}

// serving returns the proxy of the member that has the client's only stream of a method.
func (b *bench3) serving(method string) (proxy *faultnet.Proxy) {
	b.t.Helper()
	testclient.Eventually(b.t, func() bool {
		for i, m := range b.cluster.Members() {
			if open, err := m.OpenStreams(method); err == nil && open > 0 {
				proxy = b.proxies[i]
			}
		}
		return proxy != nil
	}, "a member has the stream")
	return proxy
}

// TestIdleWatchLeavesASilentMember: the member that serves an idle watch is cut off. What another
// client puts arrives within 4 s.
func TestIdleWatchLeavesASilentMember(t *testing.T) {
	for name, dir := range map[string]faultnet.Direction{"blackhole": faultnet.Both,
		"one way lost": faultnet.ToClient} {
		t.Run(name, func(t *testing.T) {
			b := newBench3(t, clientv3.Config{})
			events := b.client.Watch(t.Context(), "k")
			writer := testclient.New(t, clientv3.Config{Endpoints: b.cluster.Endpoints()})
			put := func(ctx context.Context) {
				_, err := writer.Put(ctx, "k", "v")
				require.NoError(t, err)
			}
			put(t.Context())
			require.Len(t, (<-events).Events, 1)
			serving := b.serving("Watch")
			serving.Blackhole(dir)
			stall := testclient.Stopwatch(t)
			put(t.Context())
			resp := <-events
			require.Len(t, resp.Events, 1)
			assert.False(t, resp.IsProgressNotify())
			assert.Less(t, stall(), 4*time.Second)
		})
	}
}
