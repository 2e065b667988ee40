package main

import "go.etcd.io/etcd/client/v3/bench/internal/figures"

// memoryTable shows the memory that a client holds.
var memoryTable = table{
	name: "memory", rounds: 3, file: "MEMORY.md",
	about: "What the process of a client holds, after a garbage collection. Canned answers; " +
		"the first figure is this client's, the second the published one's.",
	works: []work{
		{name: "idle", title: "Idle, after one request", noStub: true},
		{name: "watchers", title: "10,000 watches without events", noStub: true,
			program: "watchers-open", flags: []string{"-n", "10000"}},
		{name: "range", title: "A range of 100 MiB, which the program holds", noStub: true,
			program: "hold", flags: []string{"-n", "102400", "-size", "1024"}},
	},
	report: memoryReport,
}

const mebibyte = 1 << 20

func heldHeap(s figures.Sample) float64 { return max(float64(s.Heap)-float64(s.HeapBefore), 0) }

func goroutines(s figures.Sample) float64 { return float64(s.Goroutines) }

func peakRSS(s figures.Sample) float64 { return float64(s.PeakRSS) / mebibyte }

func memoryReport(comparisons []comparison) string {
	columns := []metric{
		{"heap, MiB", func(s figures.Sample) float64 { return float64(s.Heap) / mebibyte }, number},
		{"stacks, MiB", func(s figures.Sample) float64 {
			return float64(s.Stack) / mebibyte
		}, number},
		{"peak RSS, MiB", peakRSS, number},
		{"goroutines", goroutines, number},
		{"objects allocated", func(s figures.Sample) float64 {
			return s.Allocs * float64(s.Ops)
		}, number},
	}
	rows := [][]string{{"client"}}
	for _, c := range columns {
		rows[0] = append(rows[0], c.title)
	}
	for _, c := range comparisons {
		rows = append(rows, append([]string{c.work.title}, pairs(c, columns)...))
	}
	return markdown(rows)
}
