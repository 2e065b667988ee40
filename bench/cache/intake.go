package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// intake measures how many changes a second a copy takes in, alone and while readers list it in a
// loop. Another process writes as much as the member takes.
func (b *bench) intake(ctx context.Context) error {
	const readers, batch = 25, 100
	n := b.upTo(150_000)
	if err := b.fill(ctx, n); err != nil {
		return err
	}
	w := feed{prefix: prefixOf(n), keys: n, batch: batch}
	return b.withCopy(ctx, n, func(ctx context.Context, c *cache.Cache) error {
		kv := c.KV()
		lists := []func(context.Context){func(context.Context) {
			for range c.Snapshot().All() {
				continue
			}
		}, func(ctx context.Context) {
			// This Get fails only if ctx has ended.
			_, _ = kv.Get(ctx, prefixOf(n), clientv3.WithPrefix(), clientv3.WithSerializable())
		}}
		return b.while(ctx, w, func() error {
			var alone []float64
			busy := make([][]float64, len(lists))
			for range rounds {
				alone = append(alone, batch*b.revisions(ctx, c))
				for i, list := range lists {
					stop := listInLoops(ctx, list, readers)
					busy[i] = append(busy[i], batch*b.revisions(ctx, c))
					stop()
				}
			}
			for i, how := range []string{"`Snapshot`", "`KV`, which copies each pair,"} {
				rate := figures.Median(busy[i])
				if figures.Median(alone) == 0 {
					return errors.New("a copy that is not listed took nothing in")
				}
				b.add(row{fmt.Sprintf("changes taken in while %d readers list %d keys by %s in a "+
					"loop", readers, n, how), "≥ 50 % of alone", fmt.Sprintf("%.0f a second, "+
					"%.0f %% of alone", rate, 100*rate/figures.Median(alone)), "–", "–"})
			}
			return ctx.Err()
		})
	})
}

// upTo returns n, or the number of keys in the largest measured copy if that number is smaller.
func (b *bench) upTo(n int) int { return min(n, b.keys[len(b.keys)-1]) }

// listInLoops starts goroutines that call the function list again and again, until stop is called.
// The parameter readers is the number of goroutines.
func listInLoops(ctx context.Context, list func(context.Context), readers int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	for range readers {
		// Ends with the context; stop waits.
		group.Go(func() {
			for ctx.Err() == nil {
				list(ctx)
			}
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// revisions returns how many revisions a second the copy takes in.
func (b *bench) revisions(ctx context.Context, c *cache.Cache) float64 {
	_ = backoff.Wait(ctx, b.length/5)
	start, first := time.Now(), c.Snapshot().Revision()
	_ = backoff.Wait(ctx, b.length)
	return float64(c.Snapshot().Revision()-first) / time.Since(start).Seconds()
}
