// Command suite runs the integration tests of the etcd project against the client of this
// repository. It takes the tests, unmodified, from the module that the project publishes.
//
//	go run ./suite                      etcd's suite of its client, as make conformance does
//	go run ./suite -mode proxy          the same suite behind etcd's gRPC proxy
//	go run ./suite -mode integration    etcd's integration tests of the server
//	go run ./suite -mode common         etcd's common tests, run as integration tests
//	go run ./suite -race -packages watch,lease,concurrency
//	go run ./suite -packages lease -run 'TestLeaseRevoke$'
//	go run ./suite -published           etcd's suite of its client, with the published client
//
// It runs in the directory of the conformance module. It prints a table, then each failed test with
// the end of its output. It ends with a non-zero status if a test fails. A complete run, without
// -packages and -run, also fails if its counts of passed or skipped tests differ from those of the
// published client. Tests that this client fails for a good reason do not count as failed: modes.go
// and the output list them with the reason.
//
// Tests skip themselves if they see a goroutine of an earlier test when they begin. If that
// goroutine is the client's, the skipped test counts as failed. Otherwise the test is run again in
// a process of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

type options struct {
	mode      mode
	packages  string
	run       string
	race      bool
	published bool
	timeout   time.Duration
}

func main() {
	var o options
	name := flag.String("mode", modes[0].name, "which tests: "+modeNames())
	flag.StringVar(&o.packages, "packages", "",
		`comma-separated directories below the root of the tests, "." for that itself; all if empty`)
	flag.StringVar(&o.run, "run", "", "only tests that match, as for go test")
	flag.BoolVar(&o.race, "race", false, "with the race detector")
	flag.BoolVar(&o.published, "published", false, "test the published client instead")
	flag.DurationVar(&o.timeout, "timeout", 15*time.Minute, "limit for each package")
	flag.Parse()
	chosen := slices.IndexFunc(modes, func(m mode) bool { return m.name == *name })
	if chosen < 0 {
		fmt.Fprintf(os.Stderr, "suite: no mode %q among %s\n", *name, modeNames())
		os.Exit(2)
	}
	o.mode = modes[chosen]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := suite(ctx, os.Stdout, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// suite runs the tests, prints a report, and returns whether everything passed.
func suite(ctx context.Context, out io.Writer, o options) (bool, error) {
	scratch, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(scratch)
	mod, err := module(ctx, o, scratch)
	if err != nil {
		return false, err
	}
	pkgs, err := selected(ctx, mod, o)
	if err != nil {
		return false, err
	}
	var results []*result
	for _, pkg := range pkgs {
		res, err := test(ctx, mod, pkg, o)
		if err == nil {
			err = completed(ctx, mod, res, o)
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", pkg, err)
		}
		o.mode.setAside(res)
		results = append(results, res)
		fmt.Fprintf(os.Stderr, "%s: %d passed, %d failed, %.0f s\n", o.mode.short(pkg),
			len(res.passed), len(res.failed), res.seconds)
	}
	return report(out, o.mode, results, o.packages == "" && o.run == ""), ctx.Err()
}

// module returns the Go module in which the tests are built. Its go.mod selects the client under
// test: this repository's or the published one.
func module(ctx context.Context, o options, scratch string) (gobuild.Module, error) {
	var mod gobuild.Module
	var err error
	if o.published {
		mod, err = gobuild.Published(ctx, ".", scratch, filepath.Join("..", "tools", "go.sum"))
	} else {
		mod, err = gobuild.Own(ctx, ".")
	}
	if err == nil && o.mode.without != "" {
		mod, err = mod.Without(ctx, scratch, testsModule, o.mode.without)
	}
	return mod, err
}

// selected returns the packages to run. It returns an error if one does not exist.
func selected(ctx context.Context, mod gobuild.Module, o options) ([]string, error) {
	all, err := mod.Packages(ctx, o.mode.importPath("..."))
	if err != nil {
		return nil, err
	}
	names := o.mode.packages
	if o.packages != "" {
		names = strings.Split(o.packages, ",")
	}
	if len(names) == 0 {
		return all, nil
	}
	var pkgs []string
	for _, name := range names {
		pkg := o.mode.importPath(name)
		if !slices.Contains(all, pkg) {
			return nil, fmt.Errorf("no package %q among %s", name, strings.Join(all, " "))
		}
		pkgs = append(pkgs, pkg)
	}
	return pkgs, nil
}

// test runs the tests of one package, and returns their result. A test that fails is no error.
func test(ctx context.Context, mod gobuild.Module, pkg string, o options) (*result, error) {
	cmd := mod.Go(ctx, "test", "-json", "-count=1", "-timeout="+o.timeout.String(),
		"-tags="+o.mode.tags, fmt.Sprintf("-race=%t", o.race), "-run="+o.run, pkg)
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	res, err := collect(pkg, events)
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil && len(res.failed) == 0 {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return res, nil
}
