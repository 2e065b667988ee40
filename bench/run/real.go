package main

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// realTable compares the client's cost of each operation with a real member, which shares the CPUs.
// In the watch workloads, the client program that writes pauses after each write. Without pauses,
// how many events a contender finds at each wake-up would depend on how much CPU it leaves to the
// member.
var realTable = table{
	name: "real", rounds: 5, real: true, file: "REAL.md", works: realWorks,
	about:  "What an operation costs the client, with one real member.",
	report: costReport,
}

var realWorks = []work{
	{name: "put", title: "Put of 256 B, 64 callers"},
	{name: "get", title: "Get of one key, 64 callers"},
	{name: "range-1000", title: "Range of 1,000 × 256 B, 4 callers",
		targets: []target{cpuOfPublished(1)}},
	{name: "watch-1", title: "Watch, 1 event a response", program: "live",
		feeder: []string{"-work", "feed", "-pace", "1ms"}, atLeast: 2 * time.Second,
		targets: []target{cpuOfPublished(1)}},
	{name: "watch-100", title: "Watch, 100 events a response", program: "live",
		flags:   []string{"-n", "100"},
		feeder:  []string{"-work", "feed", "-n", "100", "-pace", "10ms"},
		targets: []target{cpuOfPublished(1)}},
	{name: "watchers", title: "An event, among 10,000 watches", noStub: true,
		feeder: []string{"-work", "feed-watchers"}},
	{name: "keepalive", title: "Keepalive answered, 5,000 leases of 3 s", noStub: true,
		atLeast: 3 * time.Second, warm: 2 * time.Second},
}

// realFills has the flags of the client programs that run before the workloads. They write the keys
// that the range workloads read.
var realFills = [][]string{{"-work", "fill", "-n", "1000", "-size", "256"}}

// startMember starts a real member. The caller closes the cluster.
func startMember() (*etcdtest.Cluster, error) {
	return etcdtest.New(etcdtest.WithArgs("--quota-backend-bytes=8589934592"))
}
