package cache_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestWatchWithoutQuorum opens watches, on the server and through a cache, while two of three
// members are down. Watch returns, and the watches get what is written later.
func TestWatchWithoutQuorum(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	client := testclient.Open(t, cluster)
	c := synced(t, client, "q/")
	watcher := c.Watcher()
	for _, m := range cluster.Members()[1:] {
		m.Kill()
	}
	start := time.Now()
	plain := client.Watch(t.Context(), "q/1")
	t.Logf("on the server: %v", time.Since(start))
	start = time.Now()
	cached := watcher.Watch(t.Context(), "q/1")
	t.Logf("through the cache: %v", time.Since(start))
	require.Less(t, time.Since(start), 10*time.Second)
	for _, m := range cluster.Members()[1:] {
		require.NoError(t, m.Restart())
	}
	resp, err := client.Put(t.Context(), "q/1", "v")
	require.NoError(t, err)
	for _, ch := range []clientv3.WatchChan{plain, cached} {
		got := <-ch
		require.NoError(t, got.Err())
		require.Equal(t, resp.Header.Revision, got.Events[0].Kv.ModRevision)
	}
	require.NoError(t, watcher.Close())
}
