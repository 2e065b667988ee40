package watch_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestIdleWatchOutlivesACompaction: while a watch is idle, another key changes, its revisions are
// compacted, and the member restarts. The watch has missed nothing, so it must not end: the
// client's own requests for progress have moved the revision to resume from.
func TestIdleWatchOutlivesACompaction(t *testing.T) {
	cluster := etcdtest.Start(t)
	c := testclient.Open(t, cluster)
	idle := c.Watch(t.Context(), "idle")
	put(t, c, "idle", "1")
	requireEvents(t, idle)
	compactWhileIdle(t, cluster, c, idle)
}

// TestIdleWatchNextToAFarFutureOneOutlivesACompaction: etcd answers no request for progress while a
// watch of the stream waits for a revision far ahead. An idle watch of that stream still learns
// that it has missed nothing, and so outlives a compaction.
func TestIdleWatchNextToAFarFutureOneOutlivesACompaction(t *testing.T) {
	for name, even := range map[string]bool{"with health": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdtest.Start(t)
			c := testclient.Open(t, cluster, func(cfg *clientv3.Config) { cfg.SpreadEvenly = even })
			idle := c.Watch(t.Context(), "idle")
			future := c.Watch(t.Context(), "busy", clientv3.WithRev(1_000_000))
			compactWhileIdle(t, cluster, c, idle)
			assert.Empty(t, future)
		})
	}
}

// compactWhileIdle changes the key "busy", compacts its revisions, restarts the cluster, and
// requires that the watch of the key "idle" gets the next change of its key.
func compactWhileIdle(
	t *testing.T, cluster *etcdtest.Cluster, c *clientv3.Client, idle clientv3.WatchChan,
) {
	t.Helper()
	var rev int64
	for range 100 {
		rev = put(t, c, "busy", "x")
	}
	awaitProgress(t, cluster.Members()[0], 3)
	_, err := c.Compact(t.Context(), rev)
	require.NoError(t, err)
	require.NoError(t, cluster.Restart())
	rev = put(t, c, "idle", "2")
	assert.Equal(t, fmt.Sprintf("PUT idle=2@%d", rev), nextEvent(t, idle))
}

// TestWatchResumedBelowTheCompactionEnds: while a watch has no connection, events are written and
// compacted. When the connection is back, the watch ends with one response that has the
// compaction's revision.
func TestWatchResumedBelowTheCompactionEnds(t *testing.T) {
	c, other, proxy := newProxied(t)
	ch := c.Watch(t.Context(), "k")
	proxy.Refuse()
	proxy.Reset()
	var rev int64
	for i := range 10 {
		rev = put(t, other, "k", fmt.Sprint(i))
	}
	_, err := other.Compact(t.Context(), rev)
	require.NoError(t, err)
	proxy.Heal()
	wr := requireLast(t, ch)
	assert.Equal(t, rev, wr.CompactRevision)
	assert.Equal(t, rpctypes.ErrCompacted, wr.Err())
}

// TestWatchCompactedWhilePaused: a watch whose consumer does not read is paused at its buffer
// limit. If the events that it has not received are compacted meanwhile, it delivers what it has,
// and then ends with the revision of the compaction.
func TestWatchCompactedWhilePaused(t *testing.T) {
	c := testclient.Open(t, shared.Cluster())
	ch := c.Watch(t.Context(), "k", clientv3.WithWatchBuffer(0, 2))
	var rev int64
	for i := range 50 {
		rev = put(t, c, "k", fmt.Sprint(i))
	}
	_, err := c.Compact(t.Context(), rev)
	require.NoError(t, err)
	read := 0
	for wr := range ch {
		if err := wr.Err(); err != nil {
			assert.Equal(t, rpctypes.ErrCompacted, err)
			assert.Equal(t, rev, wr.CompactRevision)
			requireClosed(t, ch)
			assert.Less(t, read, 50)
			return
		}
		read += len(wr.Events)
	}
	require.Fail(t, "the channel was closed without a last response")
}
