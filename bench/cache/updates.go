package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// updates read 10 keys and write 2 of them, by Update and by an STM.
func (b *bench) updates(ctx context.Context) error {
	const reads, writes = 10, 2
	key := func(i int) string { return keyOf(b.list, i) }
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		own, err := b.counted(ctx, func() error {
			_, err := c.Update(ctx, func(tx *cache.Tx) error {
				for i := range reads {
					tx.Get(key(i))
				}
				for i := range writes {
					tx.Put(key(i), "updated")
				}
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
		stm, err := b.counted(ctx, func() error {
			_, err := concurrency.NewSTM(b.client, func(s concurrency.STM) error {
				for i := range reads {
					s.Get(key(i))
				}
				for i := range writes {
					s.Put(key(i), "updated")
				}
				return nil
			})
			return err
		})
		b.add(row{fmt.Sprintf("`Update` with %d reads and %d writes; STM instead of the server",
			reads, writes), "1 request", own, stm, "cannot"})
		return err
	})
}

// counted measures op, and says what it took and how many messages the client has sent for it.
func (b *bench) counted(ctx context.Context, op func() error) (string, error) {
	before := b.sends.n.Load()
	c, err := measure(ctx, b.length, 1, op)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.2f messages", short(c.mean),
		float64(b.sends.n.Load()-before)/float64(c.ops)), nil
}

// intake is how many changes a second a copy takes in, alone and while readers list it in a
// loop.
func (b *bench) intake(ctx context.Context) error {
	const readers = 25
	n := b.listed150()
	if err := b.fill(ctx, n); err != nil {
		return err
	}
	return b.withCopy(ctx, n, func(ctx context.Context, c *cache.Cache) error {
		alone, err := b.taken(ctx, c, n)
		if err != nil {
			return err
		}
		reading, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		for range readers {
			// Ends with the context; intake waits.
			group.Go(func() {
				for reading.Err() == nil {
					for range c.Snapshot().All() {
					}
				}
			})
		}
		beside, err := b.taken(ctx, c, n)
		stop()
		group.Wait()
		b.add(row{fmt.Sprintf("changes taken in beside %d readers that list %d keys", readers, n),
			"≥ 50 % of alone", fmt.Sprintf("%.0f a second, %.0f %% of alone", beside,
				100*beside/alone), "–", "–"})
		return err
	})
}

// listed150 is the size of the copy that readers list: 150,000 keys, or fewer if all copies are
// smaller.
func (b *bench) listed150() int { return min(150_000, b.keys[len(b.keys)-1]) }

// taken has writers write transactions for the length of a measurement, and returns how many of
// the changes the copy has taken in a second, until it shows the last one.
func (b *bench) taken(ctx context.Context, c *cache.Cache, n int) (float64, error) {
	const writers, batch = 16, 100
	var group sync.WaitGroup
	var changes, last atomic.Int64
	errs := make([]error, writers)
	start := time.Now()
	for w := range writers {
		// Ends with the time that was given; taken waits.
		group.Go(func() {
			for time.Since(start) < b.length && errs[w] == nil {
				var ops []clientv3.Op
				first := int(changes.Add(batch))
				for i := range batch {
					ops = append(ops, clientv3.OpPut(keyOf(n, (first+i)%n), "changed"))
				}
				var resp *clientv3.TxnResponse
				if resp, errs[w] = b.client.Txn(ctx).Then(ops...).Commit(); errs[w] == nil {
					last.Store(resp.Header.Revision)
				}
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	_, err := c.AtLeast(ctx, last.Load())
	return float64(changes.Load()) / time.Since(start).Seconds(), err
}
