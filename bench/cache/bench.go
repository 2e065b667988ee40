package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
)

// bench measures and gathers the rows of the report.
type bench struct {
	settings
	client *clientv3.Client
	sends  *sends
	rows   []row
}

// row is a line of the report: the work that was measured, the goal, and what the work took with a
// copy, with the server, and with the loop, which is a copy made with plain Get and Watch.
type row struct{ work, reach, copy, server, loop string }

func (b *bench) add(r row) { b.rows = append(b.rows, r) }

func (b *bench) table() string {
	var text strings.Builder
	text.WriteString("| work | reach | copy | server | loop |\n|---|---|---|---|---|\n")
	for _, r := range b.rows {
		cells := []string{r.work, r.reach, r.copy, r.server, r.loop}
		text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return text.String()
}

func prefixOf(n int) string { return fmt.Sprintf("cache/%d/", n) }

func keyOf(n, i int) string { return fmt.Sprintf("cache/%d/%08d", n, i) }

// fill writes n keys, in transactions of 128: the most that a member allows by default.
func (b *bench) fill(ctx context.Context, n int) error {
	const batch, value = 128, "a value of 64 bytes: 0123456789012345678901234567890123456789 ok"
	for first := 0; first < n; first += batch {
		var ops []clientv3.Op
		for i := first; i < min(first+batch, n); i++ {
			ops = append(ops, clientv3.OpPut(keyOf(n, i), value))
		}
		if _, err := b.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// withCopy calls f with a synced copy of the n keys.
func (b *bench) withCopy(
	ctx context.Context, n int, f func(context.Context, *cache.Cache) error,
	opts ...cache.Option,
) (err error) {
	c, err := cache.New(b.client, prefixOf(n), opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.WaitSynced(ctx); err != nil {
		return err
	}
	return f(ctx, c)
}

// withLoop calls f with a loop, which is a copy of the n keys made with plain Get and Watch.
func (b *bench) withLoop(ctx context.Context, n int, f func(*loop) error) error {
	ctx, cancel := context.WithCancel(ctx)
	l, err := startLoop(ctx, b.client, prefixOf(n))
	if err == nil {
		err = f(l)
		cancel()
		<-l.done
	}
	cancel()
	return err
}

var errAbsent = errors.New("a key of the range is not in the copy")

// gets reads random keys of copies of growing size.
func (b *bench) gets(ctx context.Context) error {
	for i, n := range b.keys {
		if err := b.fill(ctx, n); err != nil {
			return err
		}
		keys := make([][]string, 100) // more than fit into the caches of a CPU
		for i := range keys {
			for range 1000 {
				keys[i] = append(keys[i], keyOf(n, rand.IntN(n)))
			}
		}
		own, err := b.getsOfCopy(ctx, n, keys)
		if err != nil {
			return err
		}
		hand, err := b.getsOfLoop(ctx, n, keys)
		if err != nil {
			return err
		}
		reach := "0 allocations"
		if i < len(getReach) {
			reach = getReach[i] + ", " + reach
		}
		b.add(row{fmt.Sprintf("a get from a copy of %d keys", n), reach,
			fmt.Sprintf("%s, %.2g allocations", short(own.p50), own.allocs), "–",
			short(hand.p50)})
	}
	return nil
}

func (b *bench) getsOfCopy(ctx context.Context, n int, keys [][]string) (own cost, err error) {
	err = b.withCopy(ctx, n, func(ctx context.Context, c *cache.Cache) error {
		i := 0
		own, err = measure(ctx, b.length, len(keys[0]), func() error {
			i++
			for _, key := range keys[i%len(keys)] {
				if _, ok := c.Snapshot().Get(key); !ok {
					return errAbsent
				}
			}
			return nil
		})
		return err
	})
	return own, err
}

func (b *bench) getsOfLoop(ctx context.Context, n int, keys [][]string) (hand cost, err error) {
	err = b.withLoop(ctx, n, func(l *loop) error {
		i := 0
		hand, err = measure(ctx, b.length, len(keys[0]), func() error {
			i++
			for _, key := range keys[i%len(keys)] {
				if l.get(key) == nil {
					return errAbsent
				}
			}
			return nil
		})
		return err
	})
	return hand, err
}

// getReach has the goal for the time of a get, for each default size of the copy.
var getReach = []string{"≤ 250 ns", "≤ 500 ns", "≤ 1,200 ns"}

// busy calls f while another process writes keys that are in no copy. The parameter rate is the
// number of writes a second; if it is 0, there is no such process.
func (b *bench) busy(ctx context.Context, rate int, f func() error) error {
	if rate == 0 {
		return f()
	}
	return b.while(ctx, feed{prefix: "others/", keys: feeders, batch: 1, rate: rate}, f)
}

// busyReads measures linearizable reads, one after another, while another process writes other
// keys.
func (b *bench) busyReads(ctx context.Context) error {
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		for _, rate := range b.rates {
			var server, own cost
			err := b.busy(ctx, rate, func() (err error) {
				server, own, err = b.inTurn(ctx, func() error {
					_, err := b.client.Get(ctx, keyOf(b.list, 0))
					return err
				}, func() error {
					_, err := c.Fresh(ctx, 0)
					return err
				})
				return err
			})
			if err != nil {
				return err
			}
			b.add(row{fmt.Sprintf("linearizable read, %d others written a second", rate),
				"mean ≤ 1.5 × the server's, p99 ≤ 10 ms",
				fmt.Sprintf("%s (%.2f ×), p99 %s, CPU %s", short(own.mean),
					float64(own.mean)/float64(server.mean), short(own.p99), short(own.cpuEach())),
				fmt.Sprintf("%s, p99 %s, CPU %s", short(server.mean), short(server.p99),
					short(server.cpuEach())), "cannot"})
		}
		return nil
	})
}

// manyReaders measures linearizable reads of many concurrent readers.
func (b *bench) manyReaders(ctx context.Context) error {
	const readers = 64
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		own, err := b.together(readers, func() error {
			_, err := c.Fresh(ctx, 0)
			return err
		})
		if err != nil {
			return err
		}
		server, err := b.together(readers, func() error {
			_, err := b.client.Get(ctx, keyOf(b.list, 0))
			return err
		})
		b.add(row{fmt.Sprintf("linearizable reads of %d readers", readers),
			"≥ 50,000 a second, ≤ 0.05 messages each", own, server, "cannot"})
		return err
	})
}

// together measures concurrent callers that call op in loops. The parameter callers is their
// number. The returned text has the number of calls a second, and the number of messages that the
// client sent for each call.
func (b *bench) together(callers int, op func() error) (string, error) {
	before := b.sends.n.Load()
	n, took, err := b.calls(callers, op)
	return fmt.Sprintf("%.0f a second, %.3f messages each", n/took.Seconds(),
		float64(b.sends.n.Load()-before)/n), err
}

// calls starts goroutines that call op in loops, for the length of a measurement. The parameter
// callers is the number of goroutines. The results are the number of all calls, and the time from
// the first call to the end of the last.
func (b *bench) calls(callers int, op func() error) (float64, time.Duration, error) {
	var group sync.WaitGroup
	var calls atomic.Int64
	errs := make([]error, callers)
	start := time.Now()
	for i := range errs {
		// Ends when the time b.length is over; calls waits.
		group.Go(func() {
			for time.Since(start) < b.length && errs[i] == nil {
				errs[i] = op()
				calls.Add(1)
			}
		})
	}
	group.Wait()
	return float64(calls.Load()), time.Since(start), errors.Join(errs...)
}
