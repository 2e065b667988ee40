package main

import (
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

const measureEvery = 100 * time.Millisecond

// measure writes down what the process has used, until the streams end.
func (l *load) measure() {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for l.streams.Err() == nil {
		usage := resources()
		l.record.Usage = append(l.record.Usage, record.Usage{At: time.Now().UnixNano(),
			CPU: usage.Utime.Nano() + usage.Stime.Nano(), Goroutines: runtime.NumGoroutine()})
		select {
		case <-tick.C:
		case <-l.streams.Done():
		}
	}
}

// peakRSS is the largest resident set of the process, in bytes on Linux.
func peakRSS() uint64 { return uint64(resources().Maxrss) * 1024 }

func resources() syscall.Rusage {
	var usage syscall.Rusage
	// Fails only for arguments that are none.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage
}
