package main

import (
	"fmt"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// target is the greatest value that a figure of a workload should have.
type target struct {
	text  string
	limit float64

	// rounds returns the figure of each round.
	rounds func(c comparison) []float64

	// doubtful says that the target is met if the lower quartile of the rounds is within the limit.
	// For other targets, the median must be within it.
	doubtful bool
}

func (t target) met(c comparison) bool {
	low, middle, _ := figures.Quartiles(t.rounds(c))
	if t.doubtful {
		return low <= t.limit
	}
	return middle <= t.limit
}

// measured returns the median of the rounds as text, with the quartiles if they differ.
func (t target) measured(c comparison) string {
	low, middle, high := figures.Quartiles(t.rounds(c))
	if number(low) == number(high) {
		return number(middle)
	}
	return fmt.Sprintf("%s (%s–%s)", number(middle), number(low), number(high))
}

// cpuOfStub limits the CPU of this client to a multiple of what gRPC's generated stubs need.
func cpuOfStub(limit float64) target {
	return target{text: fmt.Sprintf("CPU, this ÷ stub ≤ %.2f", limit), limit: limit,
		rounds: func(c comparison) []float64 {
			return c.quotients(cpu, figures.This, figures.Stub)
		}}
}

// cpuOfPublished limits the CPU of this client to a multiple of the published client's.
func cpuOfPublished(limit float64) target {
	return target{text: fmt.Sprintf("CPU, this ÷ published ≤ %.2f", limit), limit: limit,
		rounds: func(c comparison) []float64 {
			return c.quotients(cpu, figures.This, figures.Published)
		}}
}

// allocs limits the allocations of an operation.
func allocs(limit float64) target {
	return target{text: fmt.Sprintf("allocations ≤ %v", limit), limit: limit,
		rounds: func(c comparison) []float64 { return c.values(allocations, figures.This) }}
}

// allocsOverStub limits how many more allocations an operation has than an operation of the stub.
func allocsOverStub(limit float64) target {
	return target{text: fmt.Sprintf("allocations − stub's ≤ %v", limit), limit: limit,
		rounds: func(c comparison) []float64 {
			own, stub := c.values(allocations, figures.This), c.values(allocations, figures.Stub)
			differences := make([]float64, min(len(own), len(stub)))
			for i := range differences {
				differences[i] = own[i] - stub[i]
			}
			return differences
		}}
}

// p99NotWorse limits the p99 latency to that of the published client. Latencies scatter on a shared
// machine, so one quarter of the rounds within the limit is enough.
var p99NotWorse = target{text: "p99, this ÷ published, not surely > 1", limit: 1, doubtful: true,
	rounds: func(c comparison) []float64 {
		return c.quotients(p99, figures.This, figures.Published)
	}}
