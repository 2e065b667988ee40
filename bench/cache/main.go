// Command cache measures reads from a local copy of a key range, as package cache of this
// repository keeps it. For comparison it measures reads from the server, and reads from the copy
// that programs keep by hand with a list and a watch of a prefix. It starts a real member, and
// writes CACHE.md.
//
//	go run ./cache                                  in the directory of the bench module
//	go run ./cache -keys 1000 -for 200ms -out /dev/null
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// settings is what the flags say.
type settings struct {
	keys   []int // how many keys the copies have in the measurement of single reads
	list   int   // number of keys in the copy that is listed
	rates  []int // writes a second during the linearizable reads
	length time.Duration
	out    string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == feedCommand {
		exit(runFeed(os.Args[2:], os.Stdin))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, s, os.Stdout)
	}
	exit(err)
}

// exit ends the process if there is an error.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cache:", err)
		os.Exit(1)
	}
}

func parse(args []string, usage io.Writer) (settings, error) {
	s := settings{rates: []int{500, 4000}}
	flags := flag.NewFlagSet("cache", flag.ContinueOnError)
	flags.SetOutput(usage)
	keys := flags.String("keys", "10000,200000,1000000", "keys of the copies, growing")
	flags.DurationVar(&s.length, "for", 3*time.Second, "how long each line is measured")
	flags.StringVar(&s.out, "out", "CACHE.md", "file for the report")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	for text := range strings.SplitSeq(*keys, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return s, fmt.Errorf("-keys %q: %q is no number above 0", *keys, text)
		}
		s.keys = append(s.keys, n)
	}
	if !slices.IsSorted(s.keys) {
		return s, fmt.Errorf("-keys %q: the numbers do not grow", *keys)
	}
	if flags.NArg() > 0 || s.length < time.Millisecond {
		return s, fmt.Errorf("%q is no flag, or -for %s is below 1ms", flags.Args(), s.length)
	}
	s.list = s.keys[0]
	return s, nil
}

// run measures on a member of its own, and writes the report.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	cluster, err := etcdtest.New(etcdtest.WithArgs("--quota-backend-bytes=8589934592"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	counter := &sends{}
	client, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(),
		DialOptions: counter.options()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	b := &bench{settings: s, client: client, sends: counter}
	steps := []func(context.Context) error{b.gets, b.busyReads, b.manyReaders, b.lists,
		b.updates, b.contended, b.intake, b.watchers, b.behind}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	report := fmt.Sprintf("# Figures: cache\n\nReads from a local copy, with one real member that "+
		"takes part of the CPUs, %s each.\n`make bench-cache` writes this file. %d CPUs, %s.\n\n%s",
		s.length, runtime.NumCPU(), runtime.Version(), b.table())
	fmt.Fprint(out, report)
	return os.WriteFile(s.out, []byte(report), 0o644)
}
