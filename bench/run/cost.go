package main

import "time"

// costTable compares what operations cost. The server is that of package canned, which computes
// nothing.
var costTable = table{
	name: "cost", rounds: 9, file: "RESULTS.md", chart: "results.svg", works: costWorks,
	about:  "What an operation costs the client, with canned answers.",
	report: costReport,
}

// costWorks are the workloads in the order of the tables.
var costWorks = []work{
	{name: "put", title: "Put of 256 B, 64 callers",
		targets: []target{cpuOfStub(1.05)}},
	{name: "get", title: "Get of one key, 64 callers",
		targets: []target{cpuOfStub(1.05)}},
	{name: "txn", title: "Txn: 1 compare, 2 + 1 operations, 64 callers",
		targets: []target{cpuOfStub(1.05), allocsOverStub(6)}},
	{name: "range-100", title: "Range of 100 × 256 B, 8 callers",
		targets: []target{cpuOfStub(0.85), allocs(130)}},
	{name: "range-1000", title: "Range of 1,000 × 256 B, 4 callers",
		targets: []target{cpuOfStub(0.70), allocs(200)}},
	{name: "range-10000", title: "Range of 10,000 × 1 KiB, 1 caller",
		targets: []target{cpuOfStub(0.75), allocs(900)}},
	{name: "watch-1", title: "Watch, 1 event a response",
		targets: []target{cpuOfStub(1.15)}},
	{name: "watch-100", title: "Watch, 100 events a response",
		targets: []target{cpuOfStub(0.65), allocs(0.4)}},
	{name: "watch-paced", title: "Watch, 1,000 events a second"},
	{name: "keepalive", title: "Keepalive answered, 5,000 leases of 3 s",
		noStub: true, atLeast: 3 * time.Second, warm: 2 * time.Second,
		targets: []target{cpuOfPublished(0.8)}},
}
