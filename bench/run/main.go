// Command run measures the client of this repository next to the published one and to gRPC's
// generated stubs, against a server with canned answers, and prints what each operation costs.
//
//	go run ./run                         every workload; writes RESULTS.md and results.svg
//	go run ./run -run put,get -rounds 3  some workloads, printed only
//	go run ./run -run put -profile .     also writes CPU profiles of the last round
//	go run ./run -table real             another table: real (on a real member), growth or memory
//
// It runs in the directory of the bench module. docs/performance.md says what is measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// settings is what the flags say.
type settings struct {
	table    table
	works    []work
	rounds   int
	length   time.Duration
	samples  string
	profiles string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = bench(ctx, s, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(usage)
	name := flags.String("table", "cost", "what to measure: "+tableNames())
	names := flags.String("run", "", "workloads of the table, separated by commas; all if empty")
	flags.IntVar(&s.rounds, "rounds", -1,
		"rounds of all contenders; 0 reports what -samples has, -1 as many as the table has")
	flags.DurationVar(&s.length, "for", time.Second, "how long each run measures")
	flags.StringVar(&s.samples, "samples", "",
		"file to add the samples to; the report is about all that it holds")
	flags.StringVar(&s.profiles, "profile", "", "directory for CPU profiles of the last round")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is no flag; workloads are named with -run", flags.Arg(0))
	}
	return s.complete(*name, *names)
}

// complete looks up the table called name and the workloads in names. It refuses settings with
// which nothing can be measured.
func (s settings) complete(name, names string) (settings, error) {
	var err error
	if s.table, err = findTable(name); err != nil {
		return s, err
	}
	if s.works, err = s.table.choose(names); err != nil {
		return s, err
	}
	if s.rounds == -1 {
		s.rounds = s.table.rounds
	}
	switch {
	case s.rounds < 0 || s.rounds > 1000:
		return s, fmt.Errorf("-rounds %d is not between 0 and 1000", s.rounds)
	case s.rounds == 0 && s.samples == "":
		return s, errors.New("-rounds 0 measures nothing, and there are no -samples to report")
	case s.length < time.Millisecond || s.length > time.Minute:
		return s, fmt.Errorf("-for %s is not between 1ms and 1m", s.length)
	}
	return s, nil
}

// bench builds the programs to compare, measures them, and writes the report.
func bench(ctx context.Context, s settings, out, progress io.Writer) error {
	var results results
	if s.samples != "" {
		if err := results.load(s.samples); err != nil {
			return err
		}
	}
	if s.rounds > 0 {
		if err := measure(ctx, s, &results, progress); err != nil {
			return err
		}
	}
	if s.samples != "" {
		if err := results.save(s.samples); err != nil {
			return err
		}
	}
	report, err := results.report(ctx, s.table)
	if err != nil {
		return err
	}
	fmt.Fprint(out, report)
	if !results.complete(s.table) {
		return nil
	}
	if err := os.WriteFile(s.table.file, []byte(report), 0o644); err != nil {
		return err
	}
	if s.table.chart == "" {
		return nil
	}
	return results.chart(s.table.chart, s.table.works)
}

// measure adds samples to the results.
func measure(ctx context.Context, s settings, results *results, progress io.Writer) error {
	scratch, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	p, err := buildAll(ctx, scratch)
	if err != nil {
		return err
	}
	if s.table.real {
		return p.onMember(ctx, s, results, progress)
	}
	server, err := p.startServer(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	return p.rounds(ctx, s, server.address, results, progress)
}

// onMember measures the workloads on a real member. It first writes the keys that the range
// workloads read.
func (p programs) onMember(
	ctx context.Context, s settings, results *results, progress io.Writer,
) (err error) {
	cluster, err := startMember()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	endpoint := cluster.Members()[0].Address()
	for _, args := range realFills {
		if _, err := p.client(ctx, figures.Stub, 0,
			append(args, "-endpoint", endpoint)...); err != nil {
			return err
		}
	}
	return p.rounds(ctx, s, endpoint, results, progress)
}
