package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// user is one user's session with one server.
type user struct {
	ctx      context.Context
	programs programs
	endpoint string // the endpoint for commands: the server's, or that of the proxy in front of it
	direct   string // the server's own endpoint
	other    string // the endpoint of a second server; the make-mirror command copies data to it
	dir      string // for files
	lease    string // the id of the last lease granted
	err      error  // the first error; commands after it do nothing
}

// session runs the steps on servers of its own, and returns the output of each.
func session(ctx context.Context, p programs, proxied bool) ([]string, error) {
	dir, err := os.MkdirTemp("", "consumers-session-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source, err := etcdtest.New()
	if err != nil {
		return nil, err
	}
	defer source.Close()
	target, err := etcdtest.New()
	if err != nil {
		return nil, err
	}
	defer target.Close()
	u := &user{ctx: ctx, programs: p, direct: source.Endpoints()[0], other: target.Endpoints()[0],
		dir: dir}
	u.endpoint = u.direct
	if proxied {
		stop, err := u.startProxy()
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	outputs := make([]string, len(steps))
	for i, s := range steps {
		if outputs[i] = s.do(u); u.err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, u.err)
		}
	}
	return outputs, nil
}

// startProxy starts a grpc-proxy in front of the server, and makes it the user's endpoint.
func (u *user) startProxy() (stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	p, err := start(u.ctx, time.Hour, "", u.programs.proxy(), "grpc-proxy", "start",
		"--endpoints="+strings.TrimPrefix(u.direct, "http://"),
		"--listen-addr="+address, "--advertise-client-url="+address,
		"--data-dir="+filepath.Join(u.dir, "proxy"))
	if err != nil {
		return nil, err
	}
	u.endpoint = "http://" + address
	stop = func() { _ = p.interrupt() }
	err = eventually(u.ctx, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, func() string { return "the proxy, which says\n" + p.out.String() })
	if err != nil {
		stop()
	}
	return stop, err
}

// etcdctl runs one command to its end, and returns its output and how it ended.
func (u *user) etcdctl(args ...string) string { return u.input("", args...) }

// input runs one command to its end with the given standard input, and returns the command's output
// and how it ended.
func (u *user) input(stdin string, args ...string) string { return u.start(stdin, args...).wait() }

// start starts a command and does not wait for its end.
func (u *user) start(stdin string, args ...string) *command {
	c := &command{user: u}
	if u.err == nil {
		c.process, u.err = start(u.ctx, timeout, stdin, u.programs.etcdctl(),
			append([]string{"--endpoints=" + u.endpoint}, args...)...)
	}
	return c
}

// until waits until condition returns true. If that takes too long, until sets u.err to an error
// that contains the text of the function what.
func (u *user) until(condition func() bool, what func() string) {
	if u.err == nil {
		u.err = eventually(u.ctx, condition, what)
	}
}

// command is a command of a user. Its methods do nothing if it was not started, or if the user's
// session has failed.
type command struct {
	*process
	user *user
}

func (c *command) wait() string {
	if c.process == nil {
		return ""
	}
	return c.process.wait()
}

func (c *command) interrupt() string {
	if c.process == nil {
		return ""
	}
	return c.process.interrupt()
}

// until waits until the output of the command contains the text.
func (c *command) until(text string) {
	c.user.until(func() bool { return strings.Contains(c.out.String(), text) },
		func() string { return fmt.Sprintf("%q of %s, which says\n%s", text, c.cmd, c.out) })
}
