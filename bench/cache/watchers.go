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
)

// watchers is what watches of other keys cost: what they add to the CPU of an event, and what each
// of them takes.
func (b *bench) watchers(ctx context.Context) error {
	n := b.upTo(100_000)
	written := feed{prefix: prefixOf(b.list), keys: b.list, batch: 100, rate: 50}
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		return b.while(ctx, written, func() error {
			alone, err := b.cpuOfEvents(ctx, c.Watcher())
			if err != nil {
				return err
			}
			w := c.Watcher()
			before, goroutines := heap(), runtime.NumGoroutine()
			others := make([]clientv3.WatchChan, n)
			for i := range others {
				others[i] = w.Watch(ctx, fmt.Sprintf("%sother/%06d", prefixOf(b.list), i))
			}
			bytes := float64(heap()-before) / float64(n)
			goroutines = runtime.NumGoroutine() - goroutines
			beside, err := b.cpuOfEvents(ctx, w)
			runtime.KeepAlive(others)
			b.add(row{fmt.Sprintf("CPU that %d watchers of other keys add to an event; what "+
				"each takes", n), "≤ 5 µs; ≤ 1 KiB, 0 goroutines",
				fmt.Sprintf("%.2f µs (%s instead of %s); %.0f bytes, %.3f goroutines",
					float64(beside-alone)/1e3, short(beside), short(alone), bytes,
					float64(goroutines)/float64(n)), "–", "–"})
			return errors.Join(err, w.Close())
		})
	})
}

// cpuOfEvents returns the CPU of this process for each event that a watch of the copy delivers: the
// median of some rounds.
func (b *bench) cpuOfEvents(ctx context.Context, w clientv3.Watcher) (time.Duration, error) {
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
	var each []float64
	for range rounds {
		wait(ctx, b.length/5)
		runtime.GC()
		cpu, before := cpuUsed(), events.Load()
		wait(ctx, b.length)
		each = append(each, float64(cpuUsed()-cpu)/float64(max(1, events.Load()-before)))
	}
	err := ctx.Err()
	cancel()
	<-done
	return time.Duration(figures.Median(each)), err
}

// heap returns the bytes in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// behind is how fast a watch gets what has happened since it ended.
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
