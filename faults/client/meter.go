package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

const measureEvery = 100 * time.Millisecond

// measure adds a measurement of the process to the record at regular intervals, until the load's
// streams end.
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

// peakRSS returns the largest resident set of this program so far, in bytes. On systems other than
// Linux it returns zero. It does not use getrusage: that value is at least the resident set of the
// process that started this program.
func peakRSS() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kibibytes uint64
	if _, err := fmt.Sscan(line, &kibibytes); err != nil {
		return 0
	}
	return kibibytes << 10
}

func resources() syscall.Rusage {
	var usage syscall.Rusage
	// Getrusage fails only if its arguments are invalid.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage
}
