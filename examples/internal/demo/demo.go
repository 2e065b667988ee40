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

// Main parses the command line and does the work of a program: run, or with the flag -demo show,
// which ends by itself. An interrupt ends the context of either.
func Main(run, show Func) {
	isDemo := flag.Bool("demo", false, "show what the program does, and end")
	flag.Parse()
	if *isDemo {
		run = show
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	err := withServers(ctx, os.Stdout, run)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// withServers calls run with the endpoints in ETCD_ENDPOINTS, which are separated by commas. If
// there are none, it starts a server (bin/etcd, which `make etcd` builds) on a free port of the
// loopback interface, and stops it when run has returned.
func withServers(ctx context.Context, out io.Writer, run Func) (err error) {
	if named := os.Getenv("ETCD_ENDPOINTS"); named != "" {
		return run(ctx, out, strings.Split(named, ","))
	}
	server, err := etcdtest.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return run(ctx, out, server.Endpoints())
}
