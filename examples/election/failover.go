package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// failover starts two candidates, and kills the first one while it is the leader.
func failover(ctx context.Context, out io.Writer, endpoints []string) error {
	first, err := start(ctx, endpoints, "first")
	if err != nil {
		return err
	}
	defer first.end()
	if err := first.printUntil(out, "first: leading"); err != nil {
		return err
	}
	second, err := start(ctx, endpoints, "second")
	if err != nil {
		return err
	}
	defer second.end()
	if err := second.printUntil(out, "second: candidate"); err != nil {
		return err
	}

	fmt.Fprintln(out, "killing the first process")
	if err := first.Process.Kill(); err != nil {
		return err
	}
	// The second process leads as soon as the first one's lease has expired.
	return second.printUntil(out, "second: leading")
}

// candidate is a child process that runs this program.
type candidate struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// start starts a candidate process. The end of ctx kills it.
func start(ctx context.Context, endpoints []string, name string) (*candidate, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "-name", name, "-ttl", "2")
	cmd.Env = append(os.Environ(), "ETCD_ENDPOINTS="+strings.Join(endpoints, ","))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &candidate{cmd, bufio.NewScanner(stdout)}, cmd.Start()
}

// printUntil copies the candidate's output to out, up to and including the given line.
func (c *candidate) printUntil(out io.Writer, line string) error {
	for c.lines.Scan() {
		fmt.Fprintln(out, c.lines.Text())
		if c.lines.Text() == line {
			return nil
		}
	}
	return fmt.Errorf("%s has ended without %q", strings.Join(c.Args, " "), line)
}

// end kills the process and waits until it is gone. It ignores errors: Wait always returns one for
// a killed process.
func (c *candidate) end() {
	_ = c.Process.Kill()
	_ = c.Wait()
}
