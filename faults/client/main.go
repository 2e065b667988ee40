// Command client puts a cluster under load and writes down what it has seen. It is built twice,
// with the client of this repository and with the published one, and is run by faults/run:
//
//	client < commands
//
// The first line of the standard input is a record.Plan in JSON. When the load runs, the command
// prints "ready". After the line "stop" it ends all calls and prints "stopped". After the line "end
// REVISION" it waits until the watches have delivered that revision, and then prints a
// record.Record in JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// run reads the plan and then commands from in, and follows them. At the end it writes its record
// to out.
func run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no plan: %w", err)
	}
	var plan record.Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return fmt.Errorf("the plan %q: %w", text, err)
	}
	l, err := startLoad(ctx, plan)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	if err := expect(lines, "stop\n"); err != nil {
		return err
	}
	l.stop()
	fmt.Fprintln(out, "stopped")
	var last int64
	if _, err := fmt.Fscanf(lines, "end %d\n", &last); err != nil {
		return fmt.Errorf("the revision at the end: %w", err)
	}
	r, err := l.end(last)
	return errors.Join(json.NewEncoder(out).Encode(r), err)
}

func expect(lines *bufio.Reader, want string) error {
	got, err := lines.ReadString('\n')
	if err == nil && got != want {
		err = fmt.Errorf("got %q instead of %q", got, want)
	}
	return err
}

// versions returns the versions of Go and of the modules on which the figures depend.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	found["go"] = info.GoVersion
	for _, dep := range info.Deps {
		switch dep.Path {
		case "go.etcd.io/etcd/client/v3", "google.golang.org/grpc":
			found[dep.Path] = dep.Version
			if dep.Replace != nil {
				found[dep.Path] = "(devel)"
			}
		}
	}
	return found
}
