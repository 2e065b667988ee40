// Package demo has the code that all example programs share: how they start and end, and which
// servers they use.
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

// Func is what a program does with the servers at endpoints. It describes its actions on out, and
// returns when it is done or ctx has ended.
type Func func(ctx context.Context, out io.Writer, endpoints []string) error

// Main runs a program: it calls the function run. If the flag -demo is set, Main calls the function
// show instead, which ends by itself. The environment variable ETCD_ENDPOINTS has the endpoints of
// the servers, separated by commas. If it is not set, Main starts a server (bin/etcd, which
// `make etcd` builds) on a free loopback port, and stops it at the end.
func Main(run, show Func) { Start(withServers(run), withServers(show)) }

// Start is [Main] for a program that starts or chooses its servers itself.
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

// Endpoints returns the endpoints in ETCD_ENDPOINTS, or nil if it is not set.
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
