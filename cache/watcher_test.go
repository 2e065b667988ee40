package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// TestWatcherDeliversWhatAServerWatchDelivers opens random watches on the server and through a
// cache while keys are written, and compares all events.
func TestWatcherDeliversWhatAServerWatchDelivers(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { compareRandomWatches(t, seed) })
		})
	}
}

func compareRandomWatches(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	cluster := etcdfake.New(t)
	client := cluster.Client()
	for range 30 {
		require.NoError(t, randomwatch.Write(t.Context(), r, client))
	}
	history := []int64{0, 2000, 1 << 20}[r.IntN(3)]
	c, err := New(client, "a/", WithHistory(history))
	require.NoError(t, err)
	defer c.Close()
	watcher := c.Watcher()
	require.NoError(t, c.WaitSynced(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pairs []*randomwatch.Pair
	for range 15 {
		for range 1 + r.IntN(8) {
			require.NoError(t, randomwatch.Write(t.Context(), r, client))
		}
		for range 4 {
			p := randomwatch.New(r, cluster.Revision())
			synctest.Wait()
			p.Open(ctx, client, watcher)
			pairs = append(pairs, p)
		}
		synctest.Wait()
	}
	for range 10 {
		require.NoError(t, randomwatch.Write(t.Context(), r, client))
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	for _, p := range pairs {
		require.Empty(t, p.Difference())
	}
	require.NoError(t, watcher.Close())
	synctest.Wait()
	for _, p := range pairs {
		require.True(t, p.Cached.Ended, "%s must end with its Watcher", p.Name)
	}
}
