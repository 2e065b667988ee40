package cache

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// costCache returns a synced cache of the prefix a/. The test makes all later changes by the method
// change, without a server.
func costCache(tb testing.TB, history int64) *Cache {
	client := etcdfake.New(tb).Client()
	c, err := New(client, "a/", WithHistory(history), WithAudit(0))
	require.NoError(tb, err)
	tb.Cleanup(func() { c.Close() })
	require.NoError(tb, c.WaitSynced(tb.Context()))
	return c
}

// change adds one change of a key to the cache, as an event of the cache's watch does, and returns
// the revision of the change.
func (c *Cache) change(key string) int64 {
	rev := c.now().revision + 1
	ev := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: rev, Version: 1}}
	c.publish(func(next *view) {
		e := &entry{}
		e.add(key, nil, ev)
		next.revision, next.logged = rev, rev
		c.append(next, e)
	})
	return rev
}

// watchOthers opens n watches below "a/other/". Half of them watch one key, the others a prefix.
func watchOthers(
	tb testing.TB, ctx context.Context, w clientv3.Watcher, n int,
) []clientv3.WatchChan {
	others := make([]clientv3.WatchChan, n)
	for i := range others {
		opts := []clientv3.OpOption{clientv3.WithRev(1 << 40)}
		if i%2 == 0 {
			opts = append(opts, clientv3.WithPrefix())
		}
		others[i] = w.Watch(ctx, fmt.Sprintf("a/other/%06d/", i), opts...)
	}
	require.NoError(tb, ctx.Err())
	return others
}

// BenchmarkEventBesideOtherWatches measures how long one event takes from its publication in the
// cache to its consumer.
func BenchmarkEventBesideOtherWatches(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("others=%d", n), func(b *testing.B) {
			c := costCache(b, 1<<20)
			w := c.Watcher()
			others := watchOthers(b, b.Context(), w, n)
			ch := w.Watch(b.Context(), "a/key", clientv3.WithRev(c.now().revision+1))
			b.ReportAllocs()
			for b.Loop() {
				rev := c.change("a/key")
				if resp := <-ch; resp.Events[0].Kv.ModRevision != rev {
					b.Fatal("another event")
				}
			}
			runtime.KeepAlive(others)
		})
	}
}

// BenchmarkWatchFromThePast measures how fast a watch gets the events that are in the history of
// the cache.
func BenchmarkWatchFromThePast(b *testing.B) {
	const events = 200_000
	c := costCache(b, 1<<30)
	first := c.now().revision + 1
	for range events {
		c.change("a/key")
	}
	w := c.Watcher()
	b.ReportAllocs()
	for b.Loop() {
		readEvents(b, w, first, events)
	}
	b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
}

// readEvents reads a number of events from a revision on.
func readEvents(b *testing.B, w clientv3.Watcher, first int64, events int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ch := w.Watch(ctx, "a/key", clientv3.WithRev(first))
	for got := 0; got < events; {
		resp := <-ch
		require.NoError(b, resp.Err())
		got += len(resp.Events)
	}
}

// TestWatchesOfACacheAreSmall limits the memory and the goroutines of a watch through a cache. The
// Watcher of the client takes most of the memory.
func TestWatchesOfACacheAreSmall(t *testing.T) {
	const n = 100_000
	c := costCache(t, 1<<20)
	w := c.Watcher()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := watchOthers(t, ctx, w, 1)
	goroutines := runtime.NumGoroutine()
	before := liveHeap()
	others := watchOthers(t, ctx, w, n)
	after := liveHeap()
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+2, "goroutines")
	for i, size := range after.BySize {
		objects := live(after, i) - live(before, i)
		if share := float64(objects) / n; share > 0.01 {
			t.Logf("%.2f objects of %d bytes a watch", share, size.Size)
		}
	}
	bytes := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Log(bytes, "bytes a watch")
	require.LessOrEqual(t, bytes, int64(1024), "bytes a watch")
	runtime.KeepAlive(others)
	runtime.KeepAlive(first)
}

// liveHeap returns the statistics of the heap without garbage.
func liveHeap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // frees what the first collection has removed from each sync.Pool
	runtime.ReadMemStats(&m)
	return m
}

// live returns how many objects of a size class are on the heap.
func live(m runtime.MemStats, class int) int64 {
	return int64(m.BySize[class].Mallocs - m.BySize[class].Frees)
}
