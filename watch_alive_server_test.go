package clientv3_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// TestIdleWatchBesideAFarFutureOneOutlivesACompaction: a watch from a revision far ahead does not
// keep its siblings from moving with the store.
func TestIdleWatchBesideAFarFutureOneOutlivesACompaction(t *testing.T) {
	for name, even := range map[string]bool{"with health": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdtest.Start(t)
			c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(),
				SpreadEvenly: even})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, c.Close()) })
			idle := c.Watch(t.Context(), "idle")
			future := c.Watch(t.Context(), "busy", clientv3.WithRev(1_000_000))
			var rev int64
			for range 100 {
				rev = put(t, c, "busy", "x")
			}
			time.Sleep(8 * time.Second) // progress moves the watch on
			_, err = c.Compact(t.Context(), rev)
			require.NoError(t, err)
			require.NoError(t, cluster.Restart())
			rev = put(t, c, "idle", "2")
			wr := nextResponse(t, idle)
			require.NoError(t, wr.Err())
			require.Equal(t, rev, wr.Events[0].Kv.ModRevision)
			assert.Empty(t, future)
		})
	}
}

// TestProxyIsNotAskedForProgress: etcd's gRPC proxy logs an error for each such request.
func TestProxyIsNotAskedForProgress(t *testing.T) {
	cluster := etcdtest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	startProxy(t, cluster.Members()[0], addr)
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "proxy.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)

	c := newWatchClient(t, addr)
	events := c.Watch(t.Context(), "k")
	time.Sleep(8 * time.Second) // an idle member would be asked more than once
	put(t, c, "k", "v")
	wr := nextResponse(t, events)
	require.NoError(t, wr.Err())
	text, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	assert.Zero(t, strings.Count(string(text), "not supported request type"))
}
