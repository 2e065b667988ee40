package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// granters is how many leases are granted at once.
const granters = 16

// keepAlive keeps n leases alive, each with a reader of its answers. An operation is an answer.
func keepAlive(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	client := c.(viaClient).Client
	ids, err := grant(ctx, client, s.n, s.ttl)
	if err != nil {
		return figures.Sample{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var (
		answers atomic.Int64
		readers sync.WaitGroup
	)
	defer readers.Wait()
	defer cancel()
	for _, id := range ids {
		ch, err := client.KeepAlive(ctx, id)
		if err != nil {
			return figures.Sample{}, err
		}
		// Ends with the channel, which cancel closes; keepAlive waits.
		readers.Go(func() {
			for range ch {
				answers.Add(1)
			}
		})
	}
	if err := pause(ctx, s.warm); err != nil {
		return figures.Sample{}, err
	}
	m, before := newMeter(), answers.Load()
	if err := pause(ctx, s.length); err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(int(answers.Load() - before))
	addMemory(&sample)
	// A lease is due every third of its TTL.
	if due := int(s.length.Seconds() * float64(s.n) * 3 / float64(s.ttl)); sample.Ops < due/2 {
		return sample, fmt.Errorf("%d answers in %s, of about %d", sample.Ops, s.length, due)
	}
	return sample, nil
}

// grant grants n leases.
func grant(ctx context.Context, client *clientv3.Client, n int, ttl int64) (
	[]clientv3.LeaseID, error,
) {
	var (
		group sync.WaitGroup
		ids   = make([]clientv3.LeaseID, n)
		errs  = make([]error, granters)
	)
	for g := range granters {
		// Ends when its share is granted or ctx ends; grant waits.
		group.Go(func() {
			for i := g; i < n && errs[g] == nil; i += granters {
				ids[i], errs[g] = grantOne(ctx, client, ttl)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func grantOne(ctx context.Context, client *clientv3.Client, ttl int64) (clientv3.LeaseID, error) {
	resp, err := client.Grant(ctx, ttl)
	if err != nil {
		return 0, err
	}
	return resp.ID, nil
}

// pause waits.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
