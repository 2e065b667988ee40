package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// window measures the operations that goroutines in the background add to counter, for s.length.
// It waits for the first operation before it warms up, because another process may cause the
// operations and may start late.
func window(ctx context.Context, s settings, counter *atomic.Int64) (figures.Sample, error) {
	if err := awaitFirst(ctx, counter); err != nil {
		return figures.Sample{}, err
	}
	if err := pause(ctx, s.warm); err != nil {
		return figures.Sample{}, err
	}
	m, before := newMeter(), counter.Load()
	if err := pause(ctx, s.length); err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(int(counter.Load() - before))
	addMemory(&sample)
	if sample.Ops == 0 {
		return sample, fmt.Errorf("nothing happened in %s", s.length)
	}
	return sample, nil
}

// awaitFirst returns when the counter is not 0. It returns an error after reachTimeout.
func awaitFirst(ctx context.Context, counter *atomic.Int64) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	for counter.Load() == 0 {
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("nothing has happened yet: %w", err)
		}
	}
	return nil
}

// pause waits until the time length is over or ctx ends.
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

// livePrefix returns the prefix of the keys that the workload "feed" writes with n keys in each
// transaction.
func livePrefix(n int) string { return fmt.Sprintf("live/%d/", n) }

// live watches the keys that the workload "feed" writes. One operation of the returned sample is
// one event.
func live(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	watching, cancel := context.WithCancel(ctx)
	var events atomic.Int64
	done := make(chan error, 1)
	// This goroutine ends when cancel is called; live waits for done.
	go func() {
		done <- c.watch(watching, livePrefix(s.n), func(n int, _ []byte) { events.Add(int64(n)) })
	}()
	sample, err := window(ctx, s, &events)
	cancel()
	if watchErr := <-done; err == nil {
		err = watchErr
	}
	return sample, err
}

// manyKey returns the key that watcher i watches.
func manyKey(i int) string { return fmt.Sprintf("many/%06d", i) }

// openWatchers opens n watches that get no events, and leaves them open while memory is measured.
// One operation of the returned sample is one watch.
func openWatchers(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	client := c.(*viaClient).Client
	channels := make([]clientv3.WatchChan, s.n)
	m := newMeter()
	err := shared(s.n, func(i int) (err error) {
		channels[i], err = openWatch(ctx, client, manyKey(i))
		return err
	})
	if err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(s.n)
	addMemory(&sample)
	return sample, nil
}

// openWatch returns when the server has confirmed the watch.
func openWatch(
	ctx context.Context, client *clientv3.Client, key string,
) (clientv3.WatchChan, error) {
	ch := client.Watch(ctx, key, clientv3.WithCreatedNotify())
	if resp := <-ch; !resp.Created {
		return nil, fmt.Errorf("the watch of %q was not created: %w", key, resp.Err())
	}
	return ch, nil
}

// manyWatchers opens n watches, each with a goroutine that counts its events. The server sends each
// event to one watch, in round-robin order. One operation of the returned sample is one event.
func manyWatchers(ctx context.Context, c connection, s settings) (figures.Sample, error) {
	client := c.(*viaClient)
	var events atomic.Int64
	err := shared(s.n, func(i int) error {
		ch, err := openWatch(ctx, client.Client, manyKey(i))
		if err != nil {
			return err
		}
		// This goroutine ends when ch is closed. viaClient.close closes ch and waits for the
		// goroutine.
		client.readers.Go(func() { count(ch, &events) })
		return nil
	})
	if err != nil {
		return figures.Sample{}, err
	}
	// This key makes the server with canned answers send events to all the watches. A real member
	// has no such key: another process writes the keys that are watched.
	ch := client.Watch(ctx, "spread/1/1000000000/0/")
	// This goroutine ends when ch is closed. viaClient.close closes ch and waits for the goroutine.
	client.readers.Go(func() { count(ch, &events) })
	return window(ctx, s, &events)
}

func count(ch clientv3.WatchChan, events *atomic.Int64) {
	for resp := range ch {
		events.Add(int64(len(resp.Events)))
	}
}
