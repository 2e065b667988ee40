package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// watchers measures the cost of watches whose keys do not change: how much CPU they add to an event
// of another key, and how much memory each of them takes.
func (b *bench) watchers(ctx context.Context) error {
	n := b.upTo(100_000)
	written := feed{prefix: prefixOf(b.list), keys: b.list, batch: 100, rate: 50}
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		before, goroutines := heap(), runtime.NumGoroutine()
		w, others := b.watchOthers(ctx, c, n)
		bytes := float64(heap()-before) / float64(n)
		goroutines = runtime.NumGoroutine() - goroutines
		runtime.KeepAlive(others)
		err := w.Close()
		var alone, busy []float64
		err = errors.Join(err, b.while(ctx, written, func() error {
			for range rounds {
				alone = append(alone, b.cpuOfEvents(ctx, c.Watcher()))
				w, others := b.watchOthers(ctx, c, n)
				busy = append(busy, b.cpuOfEvents(ctx, w))
				runtime.KeepAlive(others)
				if err := w.Close(); err != nil {
					return err
				}
			}
			return ctx.Err()
		}))
		with, without := figures.Median(busy), figures.Median(alone)
		b.add(row{fmt.Sprintf("CPU that %d watchers of other keys add to an event; what each "+
			"takes", n), "≤ 5 µs; ≤ 1 KiB, 0 goroutines",
			fmt.Sprintf("%.2f µs (%.2f instead of %.2f); %.0f bytes, %.3f goroutines",
				with-without, with, without, bytes, float64(goroutines)/float64(n)), "–", "–"})
		return err
	})
}

// watchOthers opens watches of n keys that are not written.
func (b *bench) watchOthers(
	ctx context.Context, c *cache.Cache, n int,
) (clientv3.Watcher, []clientv3.WatchChan) {
	w, others := c.Watcher(), make([]clientv3.WatchChan, n)
	for i := range others {
		// If a watch begins after the revision of the cache's local copy, the cache serves it
		// without a request to the server.
		from := clientv3.WithRev(c.Snapshot().Revision() + 1)
		others[i] = w.Watch(ctx, fmt.Sprintf("%sother/%06d", prefixOf(b.list), i), from)
	}
	return w, others
}

// cpuOfEvents returns the CPU of this process for each event that a watch of the copy delivers, in
// microseconds.
func (b *bench) cpuOfEvents(ctx context.Context, w clientv3.Watcher) float64 {
	ctx, cancel := context.WithCancel(ctx)
	var events atomic.Int64
	ch := w.Watch(ctx, prefixOf(b.list), clientv3.WithPrefix())
	done := make(chan struct{})
	// Ends with ctx, which closes the channel; cpuOfEvents waits.
	go func() {
		defer close(done)
		for resp := range ch {
			events.Add(int64(len(resp.Events)))
		}
	}()
	_ = backoff.Wait(ctx, b.length/5)
	runtime.GC()
	cpu, before := cpuUsed(), events.Load()
	_ = backoff.Wait(ctx, b.length)
	took, got := cpuUsed()-cpu, events.Load()-before
	cancel()
	<-done
	return float64(took.Nanoseconds()) / 1e3 / float64(max(1, got))
}

// heap returns how many bytes of the heap are in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// behind measures how fast a watch gets the events since a past revision.
func (b *bench) behind(ctx context.Context) error {
	events := b.upTo(200_000)
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		first, last := c.Snapshot().Revision()+1, int64(0)
		for at := 0; at < events; at += 100 {
			ops := make([]clientv3.Op, min(100, events-at))
			for i := range ops {
				ops[i] = clientv3.OpPut(keyOf(b.list, (at+i)%b.list), "changed")
			}
			resp, err := b.client.Txn(ctx).Then(ops...).Commit()
			if err != nil {
				return err
			}
			last = resp.Header.Revision
		}
		if _, err := c.AtLeast(ctx, last); err != nil {
			return err
		}
		var rates []float64
		for range rounds {
			rate, err := eventsFrom(ctx, c.Watcher(), prefixOf(b.list), first, events)
			if err != nil {
				return err
			}
			rates = append(rates, rate)
		}
		b.add(row{fmt.Sprintf("a watcher that fell behind by %d events", events),
			"≥ 500,000 a second", fmt.Sprintf("%.0f a second", figures.Median(rates)), "–", "–"})
		return nil
	}, cache.WithHistory(1<<30))
}

// eventsFrom reads events from a revision on, and returns how many a second have come.
func eventsFrom(
	ctx context.Context, w clientv3.Watcher, prefix string, first int64, events int,
) (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	ch := w.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
	for got := 0; got < events; {
		resp, ok := <-ch
		if err := resp.Err(); err != nil || !ok {
			return 0, errors.Join(errors.New("the watch ended"), err)
		}
		got += len(resp.Events)
	}
	return float64(events) / time.Since(start).Seconds(), nil
}
