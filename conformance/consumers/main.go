// Command consumers builds programs that use the etcd client, such as etcdctl and the grpc-proxy.
// It builds each program twice: with the client of this repository and with the published one. With
// both builds it runs the same commands on real servers, directly and through the proxy. It
// compares the two outputs of each command, apart from identifiers, addresses and times.
//
//	go run ./consumers              as make consumers does
//	go run ./consumers -v           print the output as well
//
// It runs in the directory of the conformance module and needs bin/etcd of the repository. For each
// command it prints one line. It ends with a non-zero status if the two outputs of a command
// differ, or if they lack the text that steps.go lists for the command.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

func main() {
	verbose := flag.Bool("v", false, "print the output of each command")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	different, err := consumers(ctx, os.Stdout, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumers:", err)
	}
	if err != nil || different > 0 {
		os.Exit(1)
	}
}

// programs is the directory of the programs built with one of the clients.
type programs string

func (p programs) etcdctl() string { return filepath.Join(string(p), "etcdctl") }
func (p programs) proxy() string   { return filepath.Join(string(p), "etcd") }

func (p programs) doubleBarrier() string { return filepath.Join(string(p), "doublebarrier") }

// consumers builds and runs the programs, prints the result, and returns how many commands differ.
func consumers(ctx context.Context, out io.Writer, verbose bool) (int, error) {
	scratch, err := os.MkdirTemp("", "consumers-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	own, published, err := builds(ctx, scratch)
	if err != nil {
		return 0, err
	}
	different, compared := 0, 0
	for _, way := range []string{"direct", "proxy"} {
		ours, err := session(ctx, own, way == "proxy")
		if err != nil {
			return different, fmt.Errorf("%s, with this client: %w", way, err)
		}
		theirs, err := session(ctx, published, way == "proxy")
		if err != nil {
			return different, fmt.Errorf("%s, with the published client: %w", way, err)
		}
		for i, s := range steps {
			compared++
			verdict := compare(s, ours[i], theirs[i])
			fmt.Fprintf(out, "%-7s %-45s %s\n", way, s.name, verdict)
			if verdict != equal {
				different++
			}
			if verdict != equal || verbose {
				fmt.Fprintf(out, "    with this client:\n%s    with the published client:\n%s",
					indent(ours[i]), indent(theirs[i]))
			}
		}
	}
	together, err := mixed(ctx, own, published)
	if err != nil {
		return different, fmt.Errorf("double barriers of both clients: %w", err)
	}
	compared++
	verdict := equal
	if together != mixedWant {
		verdict = "DIFFERENT\n" + strings.TrimSuffix(indent(together), "\n")
		different++
	}
	fmt.Fprintf(out, "%-7s %-45s %s\n", "mixed", "double barriers of both clients", verdict)
	fmt.Fprintf(out, "%d commands, %d different\n", compared, different)
	return different, nil
}

// builds builds the programs with this client and with the published one.
func builds(ctx context.Context, scratch string) (own, published programs, err error) {
	own, published = programs(filepath.Join(scratch, "own")),
		programs(filepath.Join(scratch, "published"))
	m, err := gobuild.Own(ctx, ".")
	if err != nil {
		return "", "", err
	}
	if err := own.build(ctx, m); err != nil {
		return "", "", err
	}
	m, err = gobuild.Published(ctx, ".", scratch, filepath.Join("..", "tools", "go.sum"))
	if err != nil {
		return "", "", err
	}
	return own, published, published.build(ctx, m)
}

func (p programs) build(ctx context.Context, m gobuild.Module) error {
	return cmp.Or(m.Build(ctx, "go.etcd.io/etcd/etcdctl/v3", p.etcdctl()),
		m.Build(ctx, gobuild.Client+"/conformance/consumers/doublebarrier", p.doubleBarrier()),
		m.Build(ctx, "go.etcd.io/etcd/server/v3", p.proxy()))
}

const equal = "equal"

func compare(s step, ours, theirs string) string {
	switch {
	case ours != theirs:
		return "DIFFERENT"
	case !strings.Contains(ours, s.want):
		return fmt.Sprintf("WITHOUT %q", s.want)
	}
	return equal
}

func indent(text string) string {
	const margin = "        "
	return margin + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+margin) + "\n"
}
