// Command suite runs the integration tests that the etcd project holds its own client to, unmodified and from the module that the
// project publishes, against the client of this repository.
//
//	go run ./suite                      all packages, as make conformance does
//	go run ./suite -race -packages watch,lease,concurrency
//	go run ./suite -packages lease -run 'TestLeaseRevoke$'
//	go run ./suite -published           the same with the published client, for comparison
//
// It runs in the directory of the conformance module. It prints a table, then each failure by name with the end of its output, and ends
// with a non-zero status where there is a failure, or where a whole run has fewer tests than there are. A test that did not start because
// it saw a goroutine of the one before it is started once more, by itself, or counts as failed where the goroutine is the client's.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/conformance/internal/build"
)

const testsRoot = "go.etcd.io/etcd/tests/v3/integration/clientv3"

// The published client's result, which is what a whole run has to reach.
const (
	allPassed  = 314
	allSkipped = 5
)

type options struct {
	packages  string
	run       string
	race      bool
	published bool
	logs      string
	timeout   time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.packages, "packages", "", "comma-separated directories below "+testsRoot+`, "." for that itself; all if empty`)
	flag.StringVar(&o.run, "run", "", "only tests that match, as for go test")
	flag.BoolVar(&o.race, "race", false, "with the race detector")
	flag.BoolVar(&o.published, "published", false, "test the published client instead")
	flag.StringVar(&o.logs, "logs", "", "directory for the raw events, one file a package: hundreds of megabytes")
	flag.DurationVar(&o.timeout, "timeout", 15*time.Minute, "limit for each package")
	flag.Parse()
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

// suite reports whether everything passed.
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
	pkgs, err := selected(ctx, mod, o.packages)
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
		results = append(results, res)
		fmt.Fprintf(os.Stderr, "%s: %d passed, %d failed, %.0f s\n", short(pkg), len(res.passed), len(res.failed), res.seconds)
	}
	return report(out, results, o.packages == "" && o.run == ""), ctx.Err()
}

func module(ctx context.Context, o options, scratch string) (build.Module, error) {
	if o.published {
		return build.Published(ctx, ".", scratch, filepath.Join("..", "tools", "go.sum"))
	}
	return build.Own(ctx, ".")
}

// selected are the packages to run, all of which exist.
func selected(ctx context.Context, mod build.Module, names string) ([]string, error) {
	all, err := mod.Packages(ctx, testsRoot+"/...")
	if err != nil || names == "" {
		return all, err
	}
	var pkgs []string
	for name := range strings.SplitSeq(names, ",") {
		pkg := path.Join(testsRoot, name)
		if !slices.Contains(all, pkg) {
			return nil, fmt.Errorf("no package %q among %s", name, strings.Join(all, " "))
		}
		pkgs = append(pkgs, pkg)
	}
	return pkgs, nil
}

// test runs the tests of one package. That tests fail is no error.
func test(ctx context.Context, mod build.Module, pkg string, o options) (*result, error) {
	args := []string{"-json", "-count=1", "-timeout=" + o.timeout.String()}
	if o.race {
		args = append(args, "-race")
	}
	if o.run != "" {
		args = append(args, "-run="+o.run)
	}
	cmd := mod.Go(ctx, "test", append(args, pkg)...)
	events, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = os.Stderr
	raw, err := rawLog(o, pkg)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	res, err := collect(pkg, events, raw)
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil && len(res.failed) == 0 {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return res, nil
}

func rawLog(o options, pkg string) (io.WriteCloser, error) {
	if o.logs == "" {
		return nopCloser{io.Discard}, nil
	}
	if err := os.MkdirAll(o.logs, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(o.logs, strings.ReplaceAll(short(pkg), "/", "-")+".json"))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func short(pkg string) string { return strings.TrimPrefix(pkg, path.Dir(testsRoot)+"/") }
