package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/bench/internal/figures"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// programs is the directory with what buildAll built.
type programs string

func (p programs) path(name string) string { return filepath.Join(string(p), name) }

// buildAll builds the server, and the client program with each client.
func buildAll(ctx context.Context, scratch string) (programs, error) {
	p := programs(scratch)
	own, err := gobuild.Own(ctx, ".")
	if err != nil {
		return p, fmt.Errorf("%w; run in the directory of the bench module", err)
	}
	sums := filepath.Join("..", "tools", "go.sum")
	published, err := gobuild.Published(ctx, ".", scratch, sums)
	if err != nil {
		return p, err
	}
	if err := own.Build(ctx, "./server", p.path("server")); err != nil {
		return p, err
	}
	if err := own.Build(ctx, "./client", p.path(figures.This)); err != nil {
		return p, err
	}
	return p, published.Build(ctx, "./client", p.path(figures.Published))
}

// server is a running server with canned answers.
type server struct {
	address string
	cmd     *exec.Cmd
	in      io.Closer
}

// startServer starts the server. The server ends with ctx, or when the method stop closes its
// standard input.
func (p programs) startServer(ctx context.Context) (*server, error) {
	cmd := exec.CommandContext(ctx, p.path("server"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("the server printed no address: %w", err)
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

// stop ends the server and waits for it.
func (s *server) stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

// startAndEnd is how long a client program may take in addition to its warm-up and to the time that
// it measures.
const startAndEnd = time.Minute

// client runs the client program of a contender: this client, the published one, or gRPC's stubs.
func (p programs) client(
	ctx context.Context, contender string, limit time.Duration, args ...string,
) (figures.Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, limit+startAndEnd)
	defer cancel()
	program, via := contender, "client"
	if contender == figures.Stub {
		program, via = figures.This, "stub"
	}
	cmd := exec.CommandContext(ctx, p.path(program), append([]string{"-via", via}, args...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	var sample figures.Sample
	err := cmd.Run()
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &sample)
	}
	if err != nil {
		return sample, errors.Join(fmt.Errorf("%s %s: %w\n%s", contender, args, err, log.Bytes()),
			context.Cause(ctx))
	}
	sample.Contender = contender
	return sample, nil
}
