package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// timeout bounds each command and each wait.
const timeout = time.Minute

// process is a running command.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	out    *output
}

// output is what a command has written to its standard output and standard error.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start starts a command. The command is killed when ctx ends or the time limit has passed.
func start(
	ctx context.Context, limit time.Duration, stdin, program string, args ...string,
) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	p := &process{cmd: exec.CommandContext(ctx, program, args...), cancel: cancel, out: &output{}}
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.WaitDelay = time.Second
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "ETCD") {
			p.cmd.Env = append(p.cmd.Env, kv)
		}
	}
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

// wait waits for the end of the command, and returns its output and how it ended.
func (p *process) wait() string {
	defer p.cancel()
	end := "ends well\n"
	if err := p.cmd.Wait(); err != nil {
		end = fmt.Sprintf("ends with %v\n", err)
	}
	return plain(p.out.String()) + end
}

// interrupt ends the command as a user does with ctrl-C, and returns what wait returns.
func (p *process) interrupt() string {
	_ = p.cmd.Process.Signal(os.Interrupt)
	return p.wait()
}

// eventually waits until condition returns true. If that takes too long, eventually returns an
// error that contains the text of the function what.
func eventually(ctx context.Context, condition func() bool, what func() string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s", what())
		}
	}
	return nil
}

// variable lists the texts that differ between runs: log lines, files, addresses, times, sizes, and
// ids in hex and decimal. Each is replaced by its name before outputs are compared.
var variable = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`(?m)^\{"level":.*\n`), ""},
	// the value of a lock's key: a random text of its session; empty with the published client
	{regexp.MustCompile(`\b[A-Z2-7]{26}/made\b`), ""},
	{regexp.MustCompile(`/\S*/consumers-session-\d+`), "DIR"},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost):\d+`), "ADDRESS"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)`), "TIME"},
	{regexp.MustCompile(`\d+(\.\d+)?(ns|µs|ms|s|m)\b`), "DURATION"},
	{regexp.MustCompile(`\d+(\.\d+)? ?([kMG]?B\b|%)`), "SIZE"},
	{regexp.MustCompile(`\b[0-9a-f]{12,16}\b`), "ID"},
	{regexp.MustCompile(`\b\d{12,20}\b`), "ID"},
}

func plain(text string) string {
	for _, v := range variable {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}
