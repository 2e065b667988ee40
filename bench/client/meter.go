package main

import (
	"io"
	"runtime"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// meter has the state of the process at the start of a measurement.
type meter struct {
	at     time.Time
	cpu    time.Duration
	allocs uint64
	bytes  uint64
}

// profile.file is where a meter writes the CPU profile of its measurement. Without a file, there is
// no profile. profile.err is the error of starting the profile.
var profile struct {
	file io.Writer
	err  error
}

// newMeter collects garbage first, so that all runs start alike.
func newMeter() meter {
	runtime.GC()
	if profile.file != nil {
		profile.err = pprof.StartCPUProfile(profile.file)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return meter{at: time.Now(), cpu: cpuUsed(), allocs: mem.Mallocs, bytes: mem.TotalAlloc}
}

// sample returns what has been used since the meter was made, per operation.
func (m meter) sample(ops int) figures.Sample {
	took, cpu := time.Since(m.at), cpuUsed()-m.cpu
	pprof.StopCPUProfile()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	s := figures.Sample{Ops: ops, Took: took}
	if ops > 0 {
		s.CPU = cpu / time.Duration(ops)
		s.Allocs = float64(mem.Mallocs-m.allocs) / float64(ops)
		s.Bytes = float64(mem.TotalAlloc-m.bytes) / float64(ops)
	}
	return s
}

// heapHeld is the heap in use after a garbage collection.
func heapHeld() uint64 {
	runtime.GC()
	runtime.GC() // frees objects that the first collection kept for their finalizers
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	return mem.HeapAlloc
}

// addMemory adds the memory and the goroutines of the process to the sample.
func addMemory(s *figures.Sample) {
	s.Heap = heapHeld()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	s.Stack = mem.StackInuse
	s.Goroutines = runtime.NumGoroutine()
	s.PeakRSS = peakRSS()
}

// addLatencies adds the quantiles of the latencies.
func addLatencies(s *figures.Sample, latencies []time.Duration) {
	slices.Sort(latencies)
	s.P50, s.P99 = figures.Quantile(latencies, 0.5), figures.Quantile(latencies, 0.99)
}

// cpuUsed is the CPU time of the process, in its own code and in the kernel.
func cpuUsed() time.Duration {
	usage := resources()
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// peakRSS is the largest resident set of the process, in bytes on Linux.
func peakRSS() uint64 { return uint64(resources().Maxrss) * 1024 }

func resources() syscall.Rusage {
	var usage syscall.Rusage
	// Getrusage fails only for invalid arguments.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage
}
