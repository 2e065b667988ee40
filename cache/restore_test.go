package cache

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// confirmedWatcher calls a function when the next watch has been confirmed, before the caller of
// Watch can know that.
type confirmedWatcher struct {
	clientv3.Watcher
	next func()
}

func (w *confirmedWatcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	events := w.Watcher.Watch(ctx, key, opts...)
	if w.next == nil {
		return events
	}
	confirmed := make(chan clientv3.WatchResponse, 1)
	confirmed <- <-events
	w.next()
	w.next = nil
	return confirmed
}

// TestAnEraEndsWhileAListBegins has the cache find that its cluster was restored, at the moment at
// which the server confirms the watch of a list that has just begun. The cache must list its range
// once more. The test repeats this, because chance decides which of the two the cache handles
// first: the restore or the confirmation.
func TestAnEraEndsWhileAListBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := etcdfake.New(t).Client()
		w := &confirmedWatcher{Watcher: client.Watcher}
		client.Watcher = w
		c := synced(t, client, "a/")
		for range 20 {
			v := c.now()
			w.next = func() { c.replaced(v, "of the test") }
			c.startOver("of the test")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := c.await(ctx, func(next *view) bool { return next.era > v.era })
			cancel()
			require.NoError(t, err)
		}
	})
}

// TestAListAfterARestoreAsksForProgress restores a cluster, so the cache lists its range again.
// Each page has a later revision than the new watch has reached. So the cache must request progress
// of the watch, although the revision of its old copy is higher than that of the pages.
func TestAListAfterARestoreAsksForProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mustPut(t, c.client, "b", "outside of the range")
		_, err := c.Fresh(t.Context(), 0) // learns that the server answers requests for progress
		require.NoError(t, err)
		loseHistory(t, cluster, c)
		other := cluster.Client()
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).Limit > 0 {
				mustPut(t, other, "b", "after the watch was confirmed")
			}
			return etcdfake.Pass()
		})
		start := time.Now()
		_, err = c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, c.now().era)
		require.Less(t, time.Since(start), time.Second)
	})
}

// TestThePastIsOfTheViewsEra reads at a past revision with a view (a state of the cache) that is
// older than a restore of the cluster. After the restore, the history has other changes at this
// revision. So the old view gets no answer, but a new view does.
func TestThePastIsOfTheViewsEra(t *testing.T) {
	c := costCache(t, 1<<20)
	for range 5 {
		c.change("a/before")
	}
	old := c.now()
	restore := func(to int64) {
		c.publish(func(next *view) {
			next.revision, next.logged, next.era = to, to, next.era+1
			c.append(next, &entry{first: old.revision + 1, last: to, gap: true})
		})
	}
	_, ok := c.keysAt(old, old.revision-1)
	require.True(t, ok)
	restore(old.revision - 3)
	_, ok = c.keysAt(old, old.revision-1)
	require.False(t, ok)
	for range 2 {
		c.change("a/restored")
	}
	_, ok = c.keysAt(old, old.revision-2)
	require.False(t, ok)
	_, ok = c.keysAt(c.now(), old.revision-2)
	require.True(t, ok)
}
