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
)

const clientModule = "go.etcd.io/etcd/client/v3"

// programs is the directory with what buildAll built.
type programs string

func (p programs) path(name string) string { return filepath.Join(string(p), name) }

// buildAll builds the server, and the client program with each client.
func buildAll(ctx context.Context, scratch string) (programs, error) {
	p := programs(scratch)
	modfile, err := publishedModfile(ctx, scratch)
	if err != nil {
		return p, err
	}
	for _, args := range [][]string{
		{"build", "-o", p.path("server"), "./server"},
		{"build", "-o", p.path(figures.This), "./client"},
		{"build", "-mod=mod", "-modfile", modfile, "-o", p.path(figures.Published), "./client"},
	} {
		if err := goCommand(ctx, args...); err != nil {
			return p, err
		}
	}
	return p, nil
}

// publishedModfile writes a copy of go.mod that does not replace the published client. The go
// command adds what that client requires; the checksums are in the go.sum of tools/.
func publishedModfile(ctx context.Context, scratch string) (string, error) {
	modfile := filepath.Join(scratch, "published.mod")
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return "", fmt.Errorf("%w; run in the directory of the bench module", err)
	}
	if err := os.WriteFile(modfile, mod, 0o644); err != nil {
		return "", err
	}
	var sums []byte
	for _, file := range []string{"go.sum", filepath.Join("..", "tools", "go.sum")} {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		sums = append(sums, text...)
	}
	if err := os.WriteFile(filepath.Join(scratch, "published.sum"), sums, 0o644); err != nil {
		return "", err
	}
	return modfile, goCommand(ctx, "mod", "edit", "-dropreplace="+clientModule, modfile)
}

func goCommand(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// server is a running server with canned answers.
type server struct {
	address string
	cmd     *exec.Cmd
	in      io.Closer
}

// startServer starts the server, which ends when stop closes its standard input, or with ctx.
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

// startAndEnd is how long a client program may take beyond what it measures.
const startAndEnd = time.Minute

// client runs the client program of a contender.
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
