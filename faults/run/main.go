// Command run compares the client of this repository with the published one while three real
// members, or the network to them, fail. It prints a line of figures for each scenario and client.
//
//	go run ./run                          every scenario; writes RESULTS.md and results.svg
//	go run ./run -run blackhole,SIGSTOP   some scenarios, printed only
//	go run ./run -run reset -samples FILE some scenarios; adds their figures to the file
//	go run ./run -run reset -broken lost  with a defect in what the client programs report
//
// It runs in the directory of the faults module, and exits with status 1 if this client broke a
// promise in any scenario. docs/testing.md says what is measured.
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

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// errBroken is returned if this client broke a promise of etcd, for example lost a write.
var errBroken = errors.New("this client broke a promise")

// settings is what the flags say.
type settings struct {
	scenarios []scenario
	broken    string
	samples   string
	report    bool // report the figures in the file samples, and run no scenario
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = compare(ctx, s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func scenarios() []scenario {
	return slices.Concat(memberScenarios, networkScenarios, answerScenarios, authScenarios,
		certScenarios, spaceScenarios, manyScenarios, guardScenarios)
}

func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.SetOutput(usage)
	names := flags.String("run", "", "scenarios, separated by commas; all if empty")
	flags.StringVar(&s.broken, "broken", "",
		"a defect to add: lost, twice, order, write, history, lease or guard")
	flags.StringVar(&s.samples, "samples", "",
		"file that keeps the figures of several runs, the last ones of each scenario")
	flags.BoolVar(&s.report, "report", false, "run nothing, and report what -samples has")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is no flag; scenarios are named with -run", flags.Arg(0))
	}
	if s.report {
		return s, nil
	}
	if *names == "" {
		s.scenarios = scenarios()
		return s, nil
	}
	for name := range strings.SplitSeq(*names, ",") {
		i := slices.IndexFunc(scenarios(), func(s scenario) bool { return s.name == name })
		if i < 0 {
			return s, fmt.Errorf("-run %q is no scenario", name)
		}
		s.scenarios = append(s.scenarios, scenarios()[i])
	}
	return s, nil
}

// compare runs the scenarios with both clients and reports.
func compare(ctx context.Context, s settings, out io.Writer) error {
	results, err := load(s.samples)
	if err != nil {
		return err
	}
	if s.report {
		return write(ctx, scenarios(), results)
	}
	scratch, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	p, err := build(ctx, scratch)
	if err != nil {
		return err
	}
	start := time.Now()
	failed := s.runAll(ctx, p, &results, out)
	fmt.Fprintf(out, "%d scenarios took %s\n", len(s.scenarios),
		time.Since(start).Round(time.Second))
	if err := results.save(s.samples); err != nil {
		return err
	}
	if results.complete() && s.broken == "" {
		failed = errors.Join(failed, write(ctx, scenarios(), results))
	}
	for _, f := range results.Figures {
		if f.Client == record.This && len(f.Violations()) > 0 {
			failed = errors.Join(failed, fmt.Errorf("%w: %s", errBroken, f.Scenario))
		}
	}
	return failed
}

// runAll runs each scenario with each client. If a run fails, the others still take place.
func (s settings) runAll(
	ctx context.Context, p programs, r *results, out io.Writer,
) (failed error) {
	for _, sc := range s.scenarios {
		for _, contender := range record.Contenders {
			f, versions, err := sc.run(ctx, p, contender, s.broken)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s, %s: %w", sc.name, contender, err))
				continue
			}
			fmt.Fprintln(out, line(sc, f))
			r.add(f, versions)
		}
	}
	return failed
}
