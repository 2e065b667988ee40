// Package figures has the samples that the benchmark's programs hand each other, and statistics.
package figures

import "time"

// The contenders that the benchmark compares: this client, the published one, and gRPC's generated
// stubs.
const (
	This      = "this"
	Published = "published"
	Stub      = "stub"
)

// Contenders are the contenders in the order of the tables.
var Contenders = []string{This, Published, Stub}

// Sample is what one run of the client program measured. It is written as one line of JSON.
type Sample struct {
	Work string
	Via  string // client or stub
	N    int    // callers, keys, watchers or leases
	Ops  int
	Took time.Duration

	// Contender says which of [Contenders] was measured. The program that starts the runs sets it.
	Contender string

	// CPU, Allocs and Bytes are those of the client's process, per operation.
	CPU    time.Duration
	Allocs float64
	Bytes  float64

	// P50 and P99 are latencies, zero if the workload measures none.
	P50, P99 time.Duration

	// Heap, Stack and Goroutines are measured at the end of the run, after a garbage collection. If
	// the workload's callers end with the run, Goroutines is counted in the middle of the run.
	// HeapBefore is measured before the run, when the client is connected. PeakRSS is the largest
	// resident set of the process.
	HeapBefore, Heap, Stack, PeakRSS uint64
	Goroutines                       int

	// Versions has the version of each module that matters to the figures. The version of a module
	// that was built from a directory is "(devel)".
	Versions map[string]string
}
