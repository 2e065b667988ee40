package main

import (
	"fmt"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// target is a figure that is to be reached.
type target struct {
	text    string
	limit   float64
	measure func(c comparison) float64
}

func (t target) met(c comparison) bool { return t.measure(c) <= t.limit }

// cpuOfStub limits the CPU of this client to a multiple of the stub's.
func cpuOfStub(limit float64) target {
	return target{fmt.Sprintf("CPU, this ÷ stub ≤ %.2f", limit), limit, func(c comparison) float64 {
		return c.ratio(cpu, figures.This, figures.Stub)
	}}
}

// cpuOfPublished limits the CPU of this client to a multiple of the published one's.
func cpuOfPublished(limit float64) target {
	return target{fmt.Sprintf("CPU, this ÷ published ≤ %.2f", limit), limit,
		func(c comparison) float64 { return c.ratio(cpu, figures.This, figures.Published) }}
}

// allocs limits the allocations of an operation.
func allocs(limit float64) target {
	return target{fmt.Sprintf("allocations ≤ %v", limit), limit, func(c comparison) float64 {
		return c.median(allocations, figures.This)
	}}
}

// allocsOverStub limits the allocations that an operation has more than the stub's.
func allocsOverStub(limit float64) target {
	return target{fmt.Sprintf("allocations ≤ stub + %v", limit), limit, func(c comparison) float64 {
		return c.median(allocations, figures.This) - c.median(allocations, figures.Stub)
	}}
}

// p99NotWorse wants a p99 that is not worse than the published client's. Latencies on a shared
// machine scatter, so it is worse if it was in three rounds of four.
var p99NotWorse = target{"p99, this ÷ published ≤ 1 in a quarter of the rounds", 1,
	func(c comparison) float64 {
		return c.quartile(p99, figures.This, figures.Published)
	}}
