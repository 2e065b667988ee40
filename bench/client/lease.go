package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// granters is how many leases are granted, or watches opened, at once.
const granters = 16

// keepAlive keeps n leases alive. A goroutine for each lease counts its keep-alive responses. One
// operation of the returned sample is one response.
func keepAlive(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	client := c.(*viaClient)
	ids, err := grant(ctx, client.Client, s.n, s.ttl)
	if err != nil {
		return figures.Sample{}, err
	}
	var answers atomic.Int64
	for _, id := range ids {
		ch, err := client.KeepAlive(ctx, id)
		if err != nil {
			return figures.Sample{}, err
		}
		// This goroutine ends when ch is closed. viaClient.close closes ch and waits for the
		// goroutine.
		client.readers.Go(func() {
			for range ch {
				answers.Add(1)
			}
		})
	}
	sample, err := window(ctx, s, &answers)
	if err != nil {
		return figures.Sample{}, err
	}
	// A lease should be renewed every third of its TTL. A quarter of these renewals is enough here:
	// the published client renews in bursts, and a short window can have less than two bursts.
	if due := int(s.length.Seconds() * float64(s.n) * 3 / float64(s.ttl)); sample.Ops < due/4 {
		return sample, fmt.Errorf("%d answers in %s, of about %d", sample.Ops, s.length, due)
	}
	return sample, nil
}

// grant grants n leases.
func grant(ctx context.Context, client *clientv3.Client, n int, ttl int64) (
	[]clientv3.LeaseID, error,
) {
	ids := make([]clientv3.LeaseID, n)
	return ids, shared(n, func(i int) error {
		resp, err := client.Grant(ctx, ttl)
		if err != nil {
			return err
		}
		ids[i] = resp.ID
		return nil
	})
}

// shared calls do(i) for every i below n, from as many goroutines as granters says.
func shared(n int, do func(i int) error) error {
	var (
		group sync.WaitGroup
		errs  = make([]error, granters)
	)
	for g := range granters {
		// Ends when its share is done or fails; shared waits.
		group.Go(func() {
			for i := g; i < n && errs[g] == nil; i += granters {
				errs[g] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
