// Command run measures the client of this repository next to the published one and to gRPC's
// generated stubs, against a server with canned answers, and prints what each operation costs.
//
//	go run ./run                         every workload; writes RESULTS.md and results.svg
//	go run ./run -run put,get -rounds 3  some workloads, printed only
//	go run ./run -run put -profile .     also writes CPU profiles of the last round
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
	"slices"
	"strings"
	"time"
)

// settings is what the flags say.
type settings struct {
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
	names := flags.String("run", "", "workloads, separated by commas: "+
		strings.Join(workNames(), ",")+"; all if empty")
	flags.IntVar(&s.rounds, "rounds", 7, "rounds of all contenders; 0 reports what -samples has")
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
	var err error
	s.works, err = choose(*names)
	switch {
	case err != nil:
		return s, err
	case s.rounds < 0 || s.rounds > 1000:
		return s, fmt.Errorf("-rounds %d is not between 0 and 1000", s.rounds)
	case s.rounds == 0 && s.samples == "":
		return s, errors.New("-rounds 0 measures nothing, and there are no -samples to report")
	case s.length < time.Millisecond || s.length > time.Minute:
		return s, fmt.Errorf("-for %s is not between 1ms and 1m", s.length)
	}
	return s, nil
}

// choose returns the workloads with these names, all for none.
func choose(names string) ([]work, error) {
	if names == "" {
		return works, nil
	}
	var chosen []work
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(works, func(w work) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-run %q is none of %s", name, strings.Join(workNames(), ", "))
		}
		chosen = append(chosen, works[i])
	}
	return chosen, nil
}

// bench builds, measures and reports.
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
	report, err := results.report(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, report)
	if !results.complete() {
		return nil
	}
	if err := os.WriteFile("RESULTS.md", []byte(heading+report), 0o644); err != nil {
		return err
	}
	return results.chart("results.svg")
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
	server, err := p.startServer(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	return p.rounds(ctx, s, server.address, results, progress)
}
