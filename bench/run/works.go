package main

import "time"

// work is a workload of the client program, and what is to be reached with it.
type work struct {
	name  string
	title string
	unit  string // what an operation is

	clientOnly bool
	atLeast    time.Duration // the shortest time in which the workload can be measured
	warm       time.Duration // zero if the client program's default will do

	targets []target
}

// works are the workloads in the order of the tables.
var works = []work{
	{name: "put", title: "Put of 256 B, 64 callers", unit: "Put",
		targets: []target{cpuOfStub(1.05)}},
	{name: "get", title: "Get of one key, 64 callers", unit: "Get",
		targets: []target{cpuOfStub(1.05)}},
	{name: "txn", title: "Txn: 1 compare, 2 + 1 operations, 64 callers", unit: "Txn",
		targets: []target{cpuOfStub(1.05), allocsOverStub(6)}},
	{name: "range-100", title: "Range of 100 × 256 B, 8 callers", unit: "range",
		targets: []target{cpuOfStub(0.85), allocs(130)}},
	{name: "range-1000", title: "Range of 1,000 × 256 B, 4 callers", unit: "range",
		targets: []target{cpuOfStub(0.70), allocs(200)}},
	{name: "range-10000", title: "Range of 10,000 × 1 KiB, 1 caller", unit: "range",
		targets: []target{cpuOfStub(0.75), allocs(900)}},
}

func workNames() []string {
	names := make([]string, len(works))
	for i, w := range works {
		names[i] = w.name
	}
	return names
}
