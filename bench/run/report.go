package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// metric is a quantity that is measured for an operation, such as its CPU time.
type metric struct {
	title string
	value func(figures.Sample) float64
	text  func(float64) string
}

var (
	cpu = metric{"CPU an operation", func(s figures.Sample) float64 { return float64(s.CPU) }, span}

	allocations = metric{"Allocations an operation",
		func(s figures.Sample) float64 { return s.Allocs }, number}

	p99 = metric{"p99 of the latency",
		func(s figures.Sample) float64 { return float64(s.P99) }, span}

	allocated = metric{"Bytes allocated an operation",
		func(s figures.Sample) float64 { return s.Bytes }, number}

	p50 = metric{"p50 of the latency",
		func(s figures.Sample) float64 { return float64(s.P50) }, span}

	metrics = []metric{cpu, allocations, allocated, p50, p99}
)

// report returns the report of a table: the versions of the software that was measured, and the
// figures.
func (r *results) report(ctx context.Context, t table) (string, error) {
	comparisons := r.comparisons(t.works)
	if len(comparisons) == 0 {
		return "", errors.New("no workload has samples of all contenders")
	}
	versions, err := r.versions()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("# Figures: %s\n\n%s `docs/performance.md` says how it is measured.\n\n"+
		"%s, %d CPUs, %s; this client at %s, published %s, gRPC %s, protobuf %s; "+
		"medians of %d rounds.\n\n%s", t.name, t.about, cpuModel(), runtime.NumCPU(),
		versions["go"], commit(ctx), versions[gobuild.Client], versions["google.golang.org/grpc"],
		versions["google.golang.org/protobuf"], fewestRounds(comparisons),
		t.report(comparisons)), nil
}

// costReport returns a table of the targets, and then one table for each metric.
func costReport(comparisons []comparison) string {
	var b strings.Builder
	b.WriteString("## Targets\n\n" + targetTable(comparisons))
	for _, m := range metrics {
		if rows := metricRows(m, comparisons); len(rows) > 1 {
			fmt.Fprintf(&b, "\n## %s\n\n%s", m.title, markdown(rows))
		}
	}
	return b.String()
}

func fewestRounds(comparisons []comparison) int {
	n := comparisons[0].rounds()
	for _, c := range comparisons {
		n = min(n, c.rounds())
	}
	return n
}

// targetTable returns a table with the measured figure of each target.
func targetTable(comparisons []comparison) string {
	rows := [][]string{{"work", "target", "measured", "met"}}
	for _, c := range comparisons {
		targets := c.work.targets
		if c.median(p99, figures.Published) > 0 {
			targets = append(targets[:len(targets):len(targets)], p99NotWorse)
		}
		for _, t := range targets {
			met := "yes"
			if !t.met(c) {
				met = "**no**"
			}
			rows = append(rows, []string{c.work.title, t.text, t.measured(c), met})
		}
	}
	return markdown(rows)
}

// metricRows returns a header row, and a row for each workload that has the metric.
func metricRows(m metric, comparisons []comparison) [][]string {
	rows := [][]string{{"work", "this", "published", "stub", "this ÷ stub", "published ÷ stub",
		"this ÷ published"}}
	for _, c := range comparisons {
		if c.median(m, figures.This) == 0 {
			continue
		}
		row := []string{c.work.title}
		for _, contender := range figures.Contenders {
			row = append(row, orDash(c.median(m, contender), m.text))
		}
		for _, pair := range [][2]string{{figures.This, figures.Stub},
			{figures.Published, figures.Stub}, {figures.This, figures.Published}} {
			row = append(row, orDash(c.ratio(m, pair[0], pair[1]), quotient))
		}
		rows = append(rows, row)
	}
	return rows
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

func orDash(v float64, text func(float64) string) string {
	if v == 0 {
		return "–"
	}
	return text(v)
}

func span(v float64) string {
	d := time.Duration(v)
	switch {
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", v/1e6)
	case d >= time.Microsecond:
		return fmt.Sprintf("%.1f µs", v/1e3)
	}
	return fmt.Sprintf("%.0f ns", v)
}

// number formats v with two decimals below 10, with one below 1000, and otherwise as an integer
// with commas between thousands.
func number(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 1000:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func quotient(v float64) string { return fmt.Sprintf("%.2f", v) }

// versions returns the version of each module that the published contender was built with. It
// returns an error if another contender was built with other versions, or with the published
// client.
func (r *results) versions() (map[string]string, error) {
	want := map[string]string{}
	for _, s := range r.samples {
		if s.Contender == figures.Published {
			want = s.Versions
		}
	}
	for _, s := range r.samples {
		for module, version := range s.Versions {
			isClient := module == gobuild.Client && s.Contender != figures.Published
			if isClient && version == want[module] {
				return nil, fmt.Errorf("%s was built with the published client", s.Contender)
			}
			if !isClient && version != want[module] {
				return nil, fmt.Errorf("%s was built with %s %s, published with %s",
					s.Contender, module, version, want[module])
			}
		}
	}
	return want, nil
}

// clientFiles are the files that the client is made of, for git.
var clientFiles = []string{"--", "../*.go", ":!../bench", ":!../conformance", ":!../*_test.go"}

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

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
