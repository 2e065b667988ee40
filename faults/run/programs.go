package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/gobuild"
)

// programs is the directory with the client programs.
type programs string

func (p programs) path(contender string) string { return filepath.Join(string(p), contender) }

// build builds the client program twice: with this client library, and with the published one.
func build(ctx context.Context, scratch string) (programs, error) {
	p := programs(scratch)
	own, err := gobuild.Own(ctx, ".")
	if err != nil {
		return p, fmt.Errorf("%w; run in the directory of the faults module", err)
	}
	sums := filepath.Join("..", "tools", "go.sum")
	published, err := gobuild.Published(ctx, ".", scratch, sums)
	if err != nil {
		return p, err
	}
	if err := own.Build(ctx, "./client", p.path(record.This)); err != nil {
		return p, err
	}
	return p, published.Build(ctx, "./client", p.path(record.Published))
}

// child is a running client program.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	log bytes.Buffer
}

// start starts a client program and waits until its load runs.
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

// end asks the program for its record and returns it.
func (c *child) end(last int64) (r record.Record, err error) {
	if _, err := fmt.Fprintf(c.in, "end %d\n", last); err != nil {
		return r, errors.Join(err, c.wait())
	}
	err = json.NewDecoder(c.out).Decode(&r)
	return r, errors.Join(err, c.wait())
}

// wait closes the program's input and waits until the program ends. The error that wait returns has
// what the program logged.
func (c *child) wait() error {
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("the client program: %w\n%s", err, c.log.Bytes())
	}
	return nil
}
