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
	endpoint string // of the server, or of the proxy before it
	direct   string // of the server
	other    string // of a second server, which data are mirrored to
	dir      string // for files
	lease    string // the id of the last lease granted
}

// session goes through the steps on servers of its own, and returns the output of each.
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
		if outputs[i], err = s.do(u); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return outputs, nil
}

// startProxy puts a grpc-proxy before the server.
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

// etcdctl runs one command to its end.
func (u *user) etcdctl(args ...string) (string, error) { return u.input("", args...) }

// input runs one command with the given standard input.
func (u *user) input(stdin string, args ...string) (string, error) {
	p, err := u.start(stdin, args...)
	if err != nil {
		return "", err
	}
	return p.wait(), nil
}

// start begins a command that may go on until it is told to end.
func (u *user) start(stdin string, args ...string) (*process, error) {
	return start(u.ctx, patience, stdin, u.programs.etcdctl(),
		append([]string{"--endpoints=" + u.endpoint}, args...)...)
}

// at is the same user at another server.
func (u *user) at(endpoint string) *user {
	v := *u
	v.endpoint = endpoint
	return &v
}
