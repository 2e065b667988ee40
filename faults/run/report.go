package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// Files that a run of all scenarios writes.
const (
	reportFile = "RESULTS.md"
	chartFile  = "results.svg"
)

// column is a figure of a run.
type column struct {
	title string
	text  func(judge.Figures) string
}

func count(n int) string { return fmt.Sprint(n) }

// seconds formats a duration in seconds. Two decimals are as precise as the measurement.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

// calls and streams are the columns of the two tables of the report.
var (
	calls = []column{
		{"kept", func(f judge.Figures) string { return fmt.Sprintf("%.0f %%", 100*f.Throughput) }},
		{"failed reads", func(f judge.Figures) string { return count(f.FailedReads) }},
		{"failed writes", func(f judge.Figures) string { return count(f.FailedWrites) }},
		{"read stall, s", func(f judge.Figures) string { return seconds(f.ReadStall) }},
		{"write stall, s", func(f judge.Figures) string { return seconds(f.WriteStall) }},
		{"writes twice", func(f judge.Figures) string { return count(f.Written.Twice) }},
		{"writes lost", func(f judge.Figures) string { return count(f.Missing) }},
		{"history", func(f judge.Figures) string { return orDash(strings.ToLower(f.History)) }},
	}
	streams = []column{
		{"events lost", func(f judge.Figures) string { return count(f.Lost) }},
		{"twice", func(f judge.Figures) string { return count(f.Watched.Twice) }},
		{"out of order", func(f judge.Figures) string { return count(f.Disordered) }},
		{"wrong", func(f judge.Figures) string { return count(f.Wrong) }},
		{"compacted", func(f judge.Figures) string { return count(f.Skipped) }},
		{"watch stall, s", func(f judge.Figures) string { return seconds(f.Watched.Stall) }},
		{"leases lost", func(f judge.Figures) string {
			if f.Leases == 0 {
				return "–"
			}
			return fmt.Sprintf("%d of %d", f.LeasesLost, f.Leases)
		}},
		{"CPU, ms/s", func(f judge.Figures) string { return count(int(f.CPU.Milliseconds())) }},
		{"goroutines", func(f judge.Figures) string { return count(f.Goroutines) }},
	}
)

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// line returns the figures of one run as one line.
func line(sc scenario, f judge.Figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %-9s", f.Scenario, f.Client)
	for _, c := range slices.Concat(calls, streams) {
		fmt.Fprintf(&b, " | %s %s", c.title, c.text(f))
	}
	if text := own(sc, f); text != "" {
		b.WriteString(" | " + text)
	}
	if broken := f.Violations(); len(broken) > 0 {
		b.WriteString(" | BROKEN: " + strings.Join(broken, ", "))
	}
	for _, text := range commonErrors(f.Errors) {
		b.WriteString("\n      " + text)
	}
	return b.String()
}

// own returns, as text, the figures of a scenario that have no column in the tables.
func own(sc scenario, f judge.Figures) string {
	var parts []string
	if sc.asked != "" {
		parts = append(parts, fmt.Sprintf("%s: %d", sc.asked, f.Asked))
	}
	if f.Grants > 0 {
		parts = append(parts, fmt.Sprintf("grants: %d, failed: %d, leases that no call returned: %d",
			f.Grants, f.FailedWrites, f.Orphans))
	}
	if sc.plan.Guard != "" {
		parts = append(parts, fmt.Sprintf("held %d times, by two at once: %d", f.Holds,
			f.Overlaps))
	}
	if sc.plan.Clients > 0 {
		parts = append(parts, fmt.Sprintf("failed reads: %d, last client served after %s s, "+
			"never served: %d, CPU %d ms/s, peak %d MiB, goroutines %d", f.FailedReads,
			seconds(f.Served), f.Unserved, f.CPU.Milliseconds(), f.PeakRSS>>20, f.Goroutines))
	}
	return strings.Join(parts, "; ")
}

// commonErrors returns the three most common errors.
func commonErrors(errs map[string]int) []string {
	byCount := slices.SortedFunc(maps.Keys(errs), func(a, b string) int {
		return errs[b] - errs[a]
	})
	var texts []string
	for _, text := range byCount[:min(len(byCount), 3)] {
		texts = append(texts, fmt.Sprintf("%d × %s", errs[text], text))
	}
	return texts
}

// write writes the report and the chart of the scenarios that have figures of both clients.
func write(ctx context.Context, scs []scenario, r results) error {
	scs = slices.DeleteFunc(scs, func(sc scenario) bool { return !r.has(sc) })
	if err := os.WriteFile(reportFile, []byte(report(ctx, scs, r)), 0o644); err != nil {
		return err
	}
	return chart(chartFile, scs, r.Figures)
}

// report returns the tables of all scenarios.
func report(ctx context.Context, scs []scenario, r results) string {
	var b strings.Builder
	all, versions := r.Figures, r.Versions
	fmt.Fprintf(&b, "# Figures: faults\n\nThree real members behind proxies, one client under load, "+
		"and one fault. `docs/testing.md` says how it is measured.\n\n"+
		"%d CPUs, %s; this client at %s, published %s, gRPC %s; one run of each. It is chance "+
		"whether the streams of watches and leases are at the member that fails, in one run of "+
		"three; so the longest wait of a watch, and the leases lost, say little about one run.\n\n",
		runtime.NumCPU(), versions["go"], commit(ctx), versions[gobuild.Client],
		versions["google.golang.org/grpc"])
	b.WriteString("## Broken promises\n\n" + promises(all))
	b.WriteString("\n## Scenarios\n\n")
	for _, sc := range scs {
		fmt.Fprintf(&b, "- **%s.** %s\n", sc.name, sc.about)
	}
	b.WriteString("\n## Calls\n\n" + table(scs, all, calls, hasCalls))
	b.WriteString("\n## Watches, leases and what the process used\n\n" +
		table(scs, all, streams, hasStreams))
	if text := ownTable(scs, all); text != "" {
		b.WriteString("\n## Figures of single scenarios\n\n" + text)
	}
	b.WriteString("\n## Where the published client did better\n\n" + better(scs, all))
	return b.String()
}

func hasCalls(sc scenario) bool   { return sc.plan.Readers+sc.plan.Writers > 0 }
func hasStreams(sc scenario) bool { return sc.plan.Watches }

// promises lists the promises that each client broke in each scenario. A promise is, for example,
// that no write is lost.
func promises(all []judge.Figures) string {
	var b strings.Builder
	for _, f := range all {
		if broken := f.Violations(); len(broken) > 0 {
			fmt.Fprintf(&b, "- %s, %s client: %s\n", f.Scenario, f.Client,
				strings.Join(broken, ", "))
		}
	}
	if b.Len() == 0 {
		return "Neither client broke one: no event lost, twice or out of order, no write lost or " +
			"applied twice, nothing held twice, every history linearizable.\n"
	}
	return b.String()
}

// table returns a Markdown table with a row for each client in each scenario for which the function
// in returns true.
func table(scs []scenario, all []judge.Figures, columns []column, in func(scenario) bool) string {
	header := []string{"scenario", "client"}
	for _, c := range columns {
		header = append(header, c.title)
	}
	rows := [][]string{header}
	for _, sc := range scs {
		for _, f := range of(sc, all) {
			if !in(sc) {
				continue
			}
			row := []string{f.Scenario, f.Client}
			for _, c := range columns {
				row = append(row, c.text(f))
			}
			rows = append(rows, row)
		}
	}
	return markdown(rows)
}

// ownTable has the figures that only some scenarios have.
func ownTable(scs []scenario, all []judge.Figures) string {
	rows := [][]string{{"scenario", record.This, record.Published}}
	for _, sc := range scs {
		row := []string{sc.name}
		for _, f := range of(sc, all) {
			row = append(row, own(sc, f))
		}
		if len(row) == 3 && row[1] != "" {
			rows = append(rows, row)
		}
	}
	if len(rows) == 1 {
		return ""
	}
	return markdown(rows)
}

// of returns the clients' figures in a scenario. The figures of this client come first.
func of(sc scenario, all []judge.Figures) []judge.Figures {
	var found []judge.Figures
	for _, contender := range record.Contenders {
		for _, f := range all {
			if f.Scenario == sc.name && f.Client == contender {
				found = append(found, f)
			}
		}
	}
	return found
}

// markdown returns the rows as a table, the first as its header.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		for j, cell := range row {
			pad := widths[j] - utf8.RuneCountInString(cell) + 1
			b.WriteString("| " + cell + strings.Repeat(" ", pad))
		}
		b.WriteString("|\n")
		if i == 0 {
			for _, width := range widths {
				b.WriteString("|" + strings.Repeat("-", width+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// clientFiles are arguments of git that select the source files of the client.
var clientFiles = []string{"--", "../*.go", ":!../bench", ":!../faults", ":!../conformance",
	":!../*_test.go"}

// commit is the last commit that changed the client, with a plus if files have been changed since.
func commit(ctx context.Context) string {
	last, err := git(ctx, append([]string{"log", "-1", "--format=%h"}, clientFiles...))
	if err != nil {
		return "an unknown commit"
	}
	changed, err := git(ctx, append([]string{"status", "--porcelain"}, clientFiles...))
	if err != nil || changed != "" {
		return last + "+"
	}
	return last
}

func git(ctx context.Context, args []string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	return string(bytes.TrimSpace(out)), err
}
