// Command client runs one workload against a server and prints what it cost, as one line of JSON
// (bench/internal/figures.Sample). It is built twice, with the client of this repository and with
// the published one:
//
//	client -endpoint 127.0.0.1:2379 -work put              through the client it was built with
//	client -endpoint 127.0.0.1:2379 -work put -via stub    through gRPC's generated stub
//	client -endpoint … -work range-1000 -cpuprofile cpu.pb.gz
//
// Keys have the form that bench/internal/canned understands. On a real member, "-work fill -via
// stub" writes the keys that the range workloads read.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
)

// settings is what the flags say.
type settings struct {
	endpoint, work, via, profile string

	length, warm time.Duration
	n            int
	size         int
	ttl          int64
	pace         time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func parse(args []string, usage io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&s.endpoint, "endpoint", "", "host:port of the server")
	flags.StringVar(&s.work, "work", "", "workload: "+strings.Join(workNames(), ", "))
	flags.StringVar(&s.via, "via", "client", "client or stub")
	flags.StringVar(&s.profile, "cpuprofile", "", "file for a CPU profile of the measured part")
	flags.DurationVar(&s.length, "for", time.Second, "how long to measure")
	flags.DurationVar(&s.warm, "warm", 300*time.Millisecond, "how long to run before that")
	flags.IntVar(&s.n, "n", 0, "callers, keys, watchers or leases; 0 as the workload says")
	flags.IntVar(&s.size, "size", 0, "bytes of a value in a range; 0 as the workload says")
	flags.Int64Var(&s.ttl, "ttl", 3, "TTL of leases, in seconds")
	flags.DurationVar(&s.pace, "pace", 0, "how long a caller of feed waits between two puts")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	return s, s.validate(flags.Args())
}

func (s settings) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag", rest)
	case s.endpoint == "":
		return fmt.Errorf("-endpoint is missing")
	case workloads[s.work].run == nil:
		return fmt.Errorf("-work %q is none of %s", s.work, strings.Join(workNames(), ", "))
	case s.via != "client" && s.via != "stub":
		return fmt.Errorf("-via %q is neither client nor stub", s.via)
	case s.via == "stub" && workloads[s.work].clientOnly:
		return fmt.Errorf("-work %s has no stub", s.work)
	case s.length <= 0 || s.warm < 0 || s.n < 0 || s.size < 0 || s.ttl < 1:
		return fmt.Errorf("-for and -ttl must be above 0; -warm, -n and -size at least 0")
	}
	return nil
}

// run runs the workload and writes its sample.
func run(ctx context.Context, s settings, out io.Writer) error {
	if s.profile != "" {
		file, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer file.Close()
		profile.file = file
	}
	sample, err := measure(ctx, s)
	if err != nil {
		return err
	}
	if profile.err != nil {
		return profile.err
	}
	return json.NewEncoder(out).Encode(sample)
}

// measure runs the workload twice, first to warm up.
func measure(ctx context.Context, s settings) (figures.Sample, error) {
	w := workloads[s.work]
	if s.n == 0 {
		s.n = w.n
	}
	if s.size == 0 {
		s.size = w.size
	}
	conn, err := connect(s)
	if err != nil {
		return figures.Sample{}, err
	}
	if err := reach(ctx, conn); err != nil {
		return figures.Sample{}, fmt.Errorf("%s: %w", s.endpoint, err)
	}
	before := heapHeld()
	sample, err := w.run(ctx, conn, s)
	if err != nil {
		err = errors.Join(err, conn.close())
		return figures.Sample{}, fmt.Errorf("%s via %s: %w", s.work, s.via, err)
	}
	sample.Work, sample.Via, sample.N, sample.Versions = s.work, s.via, s.n, versions()
	sample.HeapBefore = before
	return sample, conn.close()
}

// reachTimeout is how long the server may take to answer the first request.
const reachTimeout = 30 * time.Second

// reach returns an error if the server does not answer.
func reach(ctx context.Context, c connection) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	return c.get(ctx, "a key")
}

// versions returns the version of each module that the figures depend on.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	found["go"] = info.GoVersion
	for _, dep := range info.Deps {
		switch dep.Path {
		case "go.etcd.io/etcd/client/v3", "go.etcd.io/etcd/api/v3", "google.golang.org/grpc",
			"google.golang.org/protobuf":
			found[dep.Path] = dep.Version
			if dep.Replace != nil {
				found[dep.Path] = "(devel)"
			}
		}
	}
	return found
}
