package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// updates measures transactions that read 10 keys and write 2 of them: first Cache.Update, then the
// STM of package concurrency.
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

// counted measures op. The text that it returns says what a call of op took, and how many messages
// the client sent for it.
func (b *bench) counted(ctx context.Context, op func() error) (string, error) {
	before := b.sends.n.Load()
	c, err := measure(ctx, b.length, 1, op)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %.2f messages", short(c.mean),
		float64(b.sends.n.Load()-before)/float64(c.ops)), nil
}

// contended lets 8 writers increment one number: first by Cache.Update, then by an STM.
func (b *bench) contended(ctx context.Context) error {
	const writers = 8
	n := b.list
	key := prefixOf(n) + "number"
	return b.withCopy(ctx, n, func(ctx context.Context, c *cache.Cache) error {
		var attempts atomic.Int64
		own, stm, err := b.ratesInTurn(writers, func() error {
			_, err := c.Update(ctx, func(tx *cache.Tx) error {
				attempts.Add(1)
				kv, _ := tx.Get(key)
				tx.Put(key, next(string(kv.GetValue())))
				return nil
			})
			return err
		}, func() error {
			_, err := concurrency.NewSTM(b.client, func(s concurrency.STM) error {
				s.Put(key, next(s.Get(key)))
				return nil
			})
			return err
		})
		if err != nil {
			return err
		}
		b.add(row{fmt.Sprintf("updates of one key by %d writers; STM instead of the server",
			writers), "≥ 1.0 × STM, 1 request an attempt",
			fmt.Sprintf("%.0f a second (%.2f ×), %.2f requests an attempt", own.rate,
				own.rate/stm.rate, float64(own.sent)/float64(attempts.Load())),
			fmt.Sprintf("%.0f a second", stm.rate), "cannot"})
		_, err = b.client.Delete(ctx, key)
		return err
	})
}

// next adds 1 to a number in decimal. The empty text counts as 0.
func next(text string) string {
	n, _ := strconv.Atoi(text)
	return strconv.Itoa(n + 1)
}

// done has the results of several concurrent callers of one operation.
type done struct {
	rate float64 // operations a second
	sent int64   // messages in all measurements
}

// ratesInTurn measures the operations first and second in turn, [rounds] times. Each measurement
// has the given number of callers, which call the operation in loops. The result x is about the
// operation first, and y about the operation second: the median rate, and the number of messages
// sent in all measurements.
func (b *bench) ratesInTurn(callers int, first, second func() error) (x, y done, err error) {
	var rates [2][]float64
	var sent [2]int64
	for range rounds {
		for i, op := range []func() error{first, second} {
			before := b.sends.n.Load()
			n, took, err := b.calls(callers, op)
			if err != nil {
				return x, y, err
			}
			rates[i] = append(rates[i], n/took.Seconds())
			sent[i] += b.sends.n.Load() - before
		}
	}
	return done{figures.Median(rates[0]), sent[0]}, done{figures.Median(rates[1]), sent[1]}, nil
}
