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

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

const clientModule = "go.etcd.io/etcd/client/v3"

// programs is the directory with the client programs.
type programs string

func (p programs) path(contender string) string { return filepath.Join(string(p), contender) }

// build builds the client program with each client.
func build(ctx context.Context, scratch string) (programs, error) {
	p := programs(scratch)
	modfile, err := publishedModfile(ctx, scratch)
	if err != nil {
		return p, err
	}
	for _, args := range [][]string{
		{"build", "-o", p.path(record.This), "./client"},
		{"build", "-mod=mod", "-modfile", modfile, "-o", p.path(record.Published), "./client"},
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
		return "", fmt.Errorf("%w; run in the directory of the faults module", err)
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

// child is a running client program.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log bytes.Buffer
}

// start runs a client program and returns once its load runs.
func (p programs) start(ctx context.Context, contender string, plan record.Plan) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, p.path(contender))}
	c.cmd.Stderr, c.cmd.WaitDelay = &c.log, time.Second
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(plan)
	if err == nil {
		err = c.tell(string(text), "ready\n")
	}
	if err != nil {
		return nil, errors.Join(err, c.wait())
	}
	return c, nil
}

// tell sends a line and waits for the answer.
func (c *child) tell(line, answer string) error {
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		return err
	}
	got, err := c.out.ReadString('\n')
	if err == nil && got != answer {
		err = fmt.Errorf("the client program answered %q instead of %q", got, answer)
	}
	return err
}

// end has the program write its record.
func (c *child) end(last int64) (r record.Record, err error) {
	if _, err := fmt.Fprintf(c.in, "end %d\n", last); err != nil {
		return r, errors.Join(err, c.wait())
	}
	err = json.NewDecoder(c.out).Decode(&r)
	return r, errors.Join(err, c.wait())
}

// wait ends the program's input and waits for it. Its error has what the program logged.
func (c *child) wait() error {
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("the client program: %w\n%s", err, c.log.Bytes())
	}
	return nil
}
