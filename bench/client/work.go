package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// workload is something that programs do with etcd.
type workload struct {
	run        func(ctx context.Context, c connection, s settings) (figures.Sample, error)
	n          int // callers, keys, events a response, watchers or leases
	size       int // bytes of a value in a range
	clientOnly bool
}

var workloads = map[string]workload{
	"put":         {run: unary(put), n: 64},
	"get":         {run: unary(get), n: 64},
	"txn":         {run: unary(txn), n: 64},
	"range":       {run: ranges(1), n: 1, size: 256},
	"range-100":   {run: ranges(8), n: 100, size: 256},
	"range-1000":  {run: ranges(4), n: 1000, size: 256},
	"range-10000": {run: ranges(1), n: 10_000, size: 1024},
	"watch-1":     {run: flood, n: 1},
	"watch-100":   {run: flood, n: 100},
	"watch-paced": {run: paced, n: 1},
	"keepalive":   {run: keepAlive, n: 5000, clientOnly: true},

	"live":          {run: live, n: 1},
	"feed":          {run: feed, n: 1},
	"watchers-open": {run: openWatchers, n: 10_000, clientOnly: true},
	"watchers":      {run: manyWatchers, n: 10_000, clientOnly: true},
	"feed-watchers": {run: feedWatchers, n: 10_000},
	"fill":          {run: fill, n: 1000, size: 256},
	"idle":          {run: idle, clientOnly: true},
	"hold":          {run: hold, n: 102_400, size: 1024},
}

func workNames() []string { return slices.Sorted(maps.Keys(workloads)) }

// call is one operation of a caller.
type call func(ctx context.Context, c connection, key string) error

// value is the value that each put writes.
var value = strings.Repeat("v", 256)

func put(ctx context.Context, c connection, key string) error { return c.put(ctx, key, value) }

func get(ctx context.Context, c connection, key string) error { return c.get(ctx, key) }

func txn(ctx context.Context, c connection, key string) error { return c.txn(ctx, key, value) }

// unary returns a workload of n callers with a key each.
func unary(op call) func(context.Context, connection, settings) (figures.Sample, error) {
	return func(ctx context.Context, c connection, s settings) (figures.Sample, error) {
		return closedLoop(ctx, s, s.n, func(ctx context.Context, caller int) error {
			return op(ctx, c, callerKey(caller))
		})
	}
}

// callerKeys are made before anything is measured.
var callerKeys = func() []string {
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench/of-a-usual-length/%05d", i)
	}
	return keys
}()

func callerKey(caller int) string { return callerKeys[caller%len(callerKeys)] }

// ranges returns a workload of callers that read n keys each.
func ranges(callers int) func(context.Context, connection, settings) (figures.Sample, error) {
	return func(ctx context.Context, c connection, s settings) (figures.Sample, error) {
		prefix := fmt.Sprintf("range/%d/%d/", s.n, s.size)
		return closedLoop(ctx, s, callers, func(ctx context.Context, _ int) error {
			_, err := listAll(ctx, c, prefix, s.n)
			return err
		})
	}
}

// listAll returns the keys with the prefix, of which there must be n.
func listAll(ctx context.Context, c connection, prefix string, n int) ([]*mvccpb.KeyValue, error) {
	kvs, err := c.list(ctx, prefix)
	if err == nil && len(kvs) != n {
		err = fmt.Errorf("%d keys instead of %d with the prefix %q", len(kvs), n, prefix)
	}
	return kvs, err
}

// closedLoop measures callers that call op in loops: each call begins when the last call of its
// caller has returned. It counts the goroutines of the sample in the middle of the run.
func closedLoop(
	ctx context.Context, s settings, callers int, op func(ctx context.Context, caller int) error,
) (figures.Sample, error) {
	if _, err := loops(ctx, s.warm, callers, op); err != nil {
		return figures.Sample{}, err
	}
	m := newMeter()
	var goroutines atomic.Int64
	halfway := time.AfterFunc(s.length/2, func() {
		goroutines.Store(int64(runtime.NumGoroutine()))
	})
	latencies, err := loops(ctx, s.length, callers, op)
	halfway.Stop()
	if err != nil {
		return figures.Sample{}, err
	}
	sample := m.sample(len(latencies))
	addLatencies(&sample, latencies)
	addMemory(&sample)
	sample.Goroutines = int(goroutines.Load())
	return sample, nil
}

// loops runs the callers until the time length is over. Each makes at least one call. loops returns
// the latencies of all calls.
func loops(
	ctx context.Context, length time.Duration, callers int,
	op func(ctx context.Context, caller int) error,
) ([]time.Duration, error) {
	var (
		group     sync.WaitGroup
		latencies = make([][]time.Duration, callers)
		errs      = make([]error, callers)
		begin     = make(chan struct{})
		end       time.Time // written before begin is closed
	)
	for caller := range callers {
		// Ends when the time length is over; loops waits.
		group.Go(func() {
			<-begin
			latencies[caller], errs[caller] = loop(ctx, end, func() error {
				return op(ctx, caller)
			})
		})
	}
	end = time.Now().Add(length)
	close(begin)
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(latencies...), nil
}

func loop(ctx context.Context, end time.Time, op func() error) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, 4096)
	for before := time.Now(); ; {
		if err := op(); err != nil {
			return nil, err
		}
		after := time.Now()
		latencies = append(latencies, after.Sub(before))
		if after.After(end) || ctx.Err() != nil {
			return latencies, ctx.Err()
		}
		before = after
	}
}
