package main

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
)

// lists compares two ways to read all keys of a copy, Fresh and Snapshot, with a Get of all keys.
// It measures them once without writes, and once while another process writes other keys.
func (b *bench) lists(ctx context.Context) error {
	for _, rate := range []int{0, b.rates[0]} {
		title := fmt.Sprintf("list of %d keys", b.list)
		if rate > 0 {
			title += fmt.Sprintf(", %d others written a second", rate)
		}
		if err := b.busy(ctx, rate, func() error { return b.listed(ctx, title) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) listed(ctx context.Context, title string) error {
	server, err := measure(ctx, b.length, 1, func() error {
		resp, err := b.client.Get(ctx, prefixOf(b.list), clientv3.WithPrefix())
		if err != nil {
			return err
		}
		return b.all(resp.Kvs)
	})
	if err != nil {
		return err
	}
	question, err := measure(ctx, b.length, 1, func() error {
		_, err := b.client.Get(ctx, keyOf(b.list, 0))
		return err
	})
	if err != nil {
		return err
	}
	var hand cost
	if err := b.withLoop(ctx, b.list, func(l *loop) (err error) {
		hand, err = measure(ctx, b.length, 1, func() error { return b.all(l.list()) })
		return err
	}); err != nil {
		return err
	}
	return b.withCopy(ctx, b.list, func(ctx context.Context, c *cache.Cache) error {
		for _, way := range []struct {
			name, reach string
			snapshot    func() (cache.Snapshot, error)
			loop        string
		}{
			{"linearizable (one Get alone: " + gains(server, question) + ")", "≥ 60 · ≥ 30",
				func() (cache.Snapshot, error) { return c.Fresh(ctx, 0) }, "cannot"},
			{"`Fresh(1 s)`", "≥ 100 · ≥ 50", func() (cache.Snapshot, error) {
				return c.Fresh(ctx, time.Second)
			}, "cannot"},
			{"`Snapshot`", "≥ 100 · ≥ 50", func() (cache.Snapshot, error) {
				return c.Snapshot(), nil
			}, gains(server, hand)},
		} {
			own, err := measure(ctx, b.length, 1, func() error {
				snap, err := way.snapshot()
				if err != nil {
					return err
				}
				n := 0
				for range snap.All() {
					n++
				}
				return b.complete(n)
			})
			if err != nil {
				return err
			}
			b.add(row{title + ", " + way.name + ": server's latency · CPU, over the copy's",
				way.reach, gains(server, own),
				fmt.Sprintf("%s · %s", short(server.mean), short(server.cpuEach())), way.loop})
		}
		return nil
	})
}

// gains says by which factors it was cheaper to list the keys of the copy than those of the server,
// in time and in CPU of this process.
func gains(server, own cost) string {
	return fmt.Sprintf("%.3g · %.3g (%s · %s)", float64(server.mean)/float64(own.mean),
		float64(server.cpuEach())/float64(own.cpuEach()), short(own.mean), short(own.cpuEach()))
}

func (b *bench) all(kvs []*mvccpb.KeyValue) error { return b.complete(len(kvs)) }

func (b *bench) complete(n int) error {
	if n != b.list {
		return fmt.Errorf("%d keys instead of %d", n, b.list)
	}
	return nil
}
