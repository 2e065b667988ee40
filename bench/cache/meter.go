package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// cost is what the operations of one measurement took.
type cost struct {
	ops            int
	cpu            time.Duration // of all operations
	allocs         float64       // per operation
	mean, p50, p99 time.Duration // of the latencies
}

func (c cost) cpuEach() time.Duration { return c.cpu / time.Duration(c.ops) }

// measure calls op again and again for the time length, and at least once. The parameter batch says
// how many operations one call is. The quantiles are those of the calls, divided by batch.
func measure(ctx context.Context, length time.Duration, batch int, op func() error) (cost, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var latencies []time.Duration
	start, cpu := time.Now(), cpuUsed()
	c := cost{}
	for last := start; ; {
		if err := op(); err != nil {
			return c, err
		}
		c.ops += batch
		now := time.Now()
		latencies = append(latencies, now.Sub(last)/time.Duration(batch))
		if last = now; now.Sub(start) >= length || ctx.Err() != nil {
			break
		}
	}
	took := time.Since(start)
	c.cpu, c.mean = cpuUsed()-cpu, took/time.Duration(c.ops)
	runtime.ReadMemStats(&after)
	c.allocs = float64(after.Mallocs-before.Mallocs) / float64(c.ops)
	slices.Sort(latencies)
	c.p50, c.p99 = figures.Quantile(latencies, 0.5), figures.Quantile(latencies, 0.99)
	return c, ctx.Err()
}

// rounds is how often an operation is measured, if its results vary from run to run.
const rounds = 3

// inTurn measures two operations in turn, in several rounds. For each operation, it returns the
// cost in the round whose mean is the median of all rounds.
func (b *bench) inTurn(ctx context.Context, first, second func() error) (x, y cost, err error) {
	var xs, ys []cost
	for range rounds {
		if x, err = measure(ctx, b.length, 1, first); err != nil {
			return x, y, err
		}
		if y, err = measure(ctx, b.length, 1, second); err != nil {
			return x, y, err
		}
		xs, ys = append(xs, x), append(ys, y)
	}
	return middle(xs), middle(ys), nil
}

func middle(costs []cost) cost {
	slices.SortFunc(costs, func(a, b cost) int { return cmp.Compare(a.mean, b.mean) })
	return costs[len(costs)/2]
}

// cpuUsed is the CPU time of this process.
func cpuUsed() time.Duration {
	var usage syscall.Rusage
	// Getrusage fails only for invalid arguments.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// sends counts the messages that a client sends.
type sends struct{ n atomic.Int64 }

func (s *sends) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStatsHandler(s)}
}

func (s *sends) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (s *sends) HandleRPC(_ context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutPayload); ok {
		s.n.Add(1)
	}
}

func (s *sends) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (s *sends) HandleConn(context.Context, stats.ConnStats) {}

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	case d >= time.Microsecond:
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%d ns", d)
}
