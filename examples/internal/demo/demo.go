// Package demo is what the example programs share: how they begin, how they end, and which servers
// they use.
package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// Func is the work of a program on the servers at endpoints. It writes to out what it does, and
// returns when it has done its work or ctx has ended.
type Func func(ctx context.Context, out io.Writer, endpoints []string) error

// Main does the work of a program: run, or with the flag -demo show, which ends by itself. The
// servers are those that ETCD_ENDPOINTS names, separated by commas. If it is not set, Main starts a
// server (bin/etcd, which `make etcd` builds) on a free port of the loopback interface, and stops
// it in the end.
func Main(run, show Func) { Start(withServers(run), withServers(show)) }

// Start is Main for a program that looks after its servers itself.
func Start(run, show func(ctx context.Context, out io.Writer) error) {
	isDemo := flag.Bool("demo", false, "show what the program does, and end")
	flag.Parse()
	if *isDemo {
		run = show
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// Endpoints are those that ETCD_ENDPOINTS names, if any.
func Endpoints() []string {
	named := os.Getenv("ETCD_ENDPOINTS")
	if named == "" {
		return nil
	}
	return strings.Split(named, ",")
}

func withServers(run Func) func(context.Context, io.Writer) error {
	return func(ctx context.Context, out io.Writer) (err error) {
		if named := Endpoints(); named != nil {
			return run(ctx, out, named)
		}
		server, err := etcdtest.New()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		return run(ctx, out, server.Endpoints())
	}
}
