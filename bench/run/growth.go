package main

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// growthTable shows how costs grow with the number of keys, watches, leases and callers.
var growthTable = table{
	name: "growth", rounds: 3, file: "GROWTH.md", works: growthWorks(),
	about:  "How costs grow. Canned answers; the first figure is this client's, the second the published one's.",
	report: growthReport,
}

// line is a workload that is measured at growing sizes.
type line struct {
	name, title string
	work        work
	sizes       []int
	columns     []metric
}

var lines = []line{
	{
		name: "keys", title: "Keys a range, of 256 B, 1 caller", work: work{program: "range"},
		sizes: []int{1, 10, 100, 1000, 10_000, 100_000},
		columns: []metric{
			{"CPU a key", perUnit(cpu.value), span},
			{"allocations a key", perUnit(allocations.value), number},
			{"bytes a key", perUnit(allocated.value), number},
			{"p50", p50.value, span},
		},
	},
	{
		name: "watches", title: "Opening a watch", work: work{program: "watchers-open"},
		sizes: []int{1, 10, 100, 1000, 10_000, 100_000},
		columns: []metric{
			{"CPU a watch", cpu.value, span},
			{"heap a watch, bytes", perUnit(heldHeap), number},
			{"goroutines", goroutines, number},
		},
	},
	{
		name: "events", title: "An event, among watches with a reader each",
		work:  work{program: "watchers"},
		sizes: []int{1, 10, 100, 1000, 10_000, 100_000},
		columns: []metric{
			{"CPU an event", cpu.value, span},
			{"allocations an event", allocations.value, number},
			{"goroutines", goroutines, number},
		},
	},
	{
		name: "leases", title: "A keepalive answered, leases of 9 s with a reader each",
		work: work{program: "keepalive", flags: []string{"-ttl", "9"},
			atLeast: 4 * time.Second, warm: 3 * time.Second},
		sizes: []int{1, 10, 100, 1000, 10_000, 50_000},
		columns: []metric{
			{"CPU an answer", cpu.value, span},
			{"heap a lease, bytes", perUnit(heldHeap), number},
			{"goroutines", goroutines, number},
		},
	},
	{
		name: "callers", title: "Put of 256 B, concurrent callers", work: work{program: "put"},
		sizes: []int{1, 10, 100, 1000, 10_000},
		columns: []metric{
			{"CPU a Put", cpu.value, span},
			{"p50", p50.value, span},
			{"p99", p99.value, span},
			{"peak RSS, MiB", peakRSS, number},
			{"goroutines", goroutines, number},
		},
	},
}

// perUnit divides a figure by the number of keys, watches or leases.
func perUnit(value func(figures.Sample) float64) func(figures.Sample) float64 {
	return func(s figures.Sample) float64 { return value(s) / float64(max(s.N, 1)) }
}

func growthWorks() []work {
	var all []work
	for _, l := range lines {
		for _, n := range l.sizes {
			w := l.work
			w.name, w.title, w.noStub = fmt.Sprintf("%s-%d", l.name, n), l.title, true
			w.flags = append(w.flags[:len(w.flags):len(w.flags)], "-n", fmt.Sprint(n))
			all = append(all, w)
		}
	}
	return all
}

// growthReport returns a table for each measured [line].
func growthReport(comparisons []comparison) string {
	var b strings.Builder
	for _, l := range lines {
		rows := [][]string{{"n"}}
		for _, c := range l.columns {
			rows[0] = append(rows[0], c.title)
		}
		for _, c := range comparisons {
			if n, ok := strings.CutPrefix(c.work.name, l.name+"-"); ok {
				rows = append(rows, append([]string{n}, pairs(c, l.columns)...))
			}
		}
		if len(rows) > 1 {
			fmt.Fprintf(&b, "## %s\n\n%s\n", l.title, markdown(rows))
		}
	}
	return b.String()
}

// pairs returns the medians of this client and of the published one.
func pairs(c comparison, columns []metric) []string {
	cells := make([]string, len(columns))
	for i, m := range columns {
		cells[i] = m.text(c.median(m, figures.This)) + " · " +
			m.text(c.median(m, figures.Published))
	}
	return cells
}
