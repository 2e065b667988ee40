package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// table is a set of workloads that are measured and reported together.
type table struct {
	name  string
	about string
	works []work

	real   bool // the clients talk to a real etcd member, not to a server with canned answers
	rounds int
	file   string // where the report of all workloads is written
	chart  string // where the chart is written; "" if there is no chart

	report func([]comparison) string
}

var tables = []table{costTable, realTable, growthTable, memoryTable}

func tableNames() string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.name
	}
	return strings.Join(names, ", ")
}

func findTable(name string) (table, error) {
	i := slices.IndexFunc(tables, func(t table) bool { return t.name == name })
	if i < 0 {
		return table{}, fmt.Errorf("-table %q is none of %s", name, tableNames())
	}
	return tables[i], nil
}

func (t table) workNames() string {
	names := make([]string, len(t.works))
	for i, w := range t.works {
		names[i] = w.name
	}
	return strings.Join(names, ", ")
}

// choose returns the workloads with the given names, which are separated by commas. A name that
// ends in a dash stands for all workloads that begin with it. Without names, choose returns all
// workloads.
func (t table) choose(names string) ([]work, error) {
	if names == "" {
		return t.works, nil
	}
	var chosen []work
	for name := range strings.SplitSeq(names, ",") {
		before := len(chosen)
		for _, w := range t.works {
			if w.name == name || strings.HasSuffix(name, "-") && strings.HasPrefix(w.name, name) {
				chosen = append(chosen, w)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-run %q is none of %s", name, t.workNames())
		}
	}
	return chosen, nil
}

// work is a workload of the client program, with its flags and its targets.
type work struct {
	name  string
	title string

	program string   // the value of the client program's -work flag; if empty, name is the value
	flags   []string // the other flags of the client program
	feeder  []string // the flags of a second client program that writes meanwhile, if any

	noStub  bool
	atLeast time.Duration // the shortest time in which the workload can be measured
	warm    time.Duration // the client program's -warm flag; 0 for its default

	targets []target
}

// contenders returns the names of the clients that run the workload.
func (w work) contenders() []string {
	if w.noStub {
		return []string{figures.This, figures.Published}
	}
	return slices.Clone(figures.Contenders)
}

// args are the flags of the client program.
func (w work) args(s settings, endpoint string) []string {
	program := w.program
	if program == "" {
		program = w.name
	}
	args := []string{"-endpoint", endpoint, "-work", program,
		"-for", max(s.length, w.atLeast).String()}
	if w.warm > 0 {
		args = append(args, "-warm", w.warm.String())
	}
	return append(args, w.flags...)
}

// limit returns the sum of the measured time and, if warm is set, the warm-up. A run of the
// workload takes longer, by the start and the end of its program.
func (w work) limit(s settings) time.Duration { return max(s.length, w.atLeast) + w.warm }
