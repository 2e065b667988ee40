package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
	"go.etcd.io/etcd/client/v3/namespace"
)

// branchOf names the branch that err takes in the switch that the documentation teaches.
func branchOf(err error) string {
	switch err {
	case nil:
		return "ok"
	case context.Canceled:
		return "cancelled"
	case context.DeadlineExceeded:
		return "deadline"
	case rpctypes.ErrEmptyKey:
		return "empty key"
	default:
		return "fatal: " + err.Error()
	}
}

// codeOf returns the gRPC code of an error. Programs that distinguish errors by code do this.
func codeOf(err error) codes.Code {
	switch e := err.(type) {
	case nil:
		return codes.OK
	case rpctypes.EtcdError:
		return e.Code()
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// situation is one use of a client by a program. The fields with and without are results of
// [branchOf] for the error that run must return.
type situation struct {
	name    string
	cfg     clientv3.Config
	run     func(ctx context.Context, cli *clientv3.Client) error
	with    string     // the branch, without ": " and the text after it, if a member can be reached
	without string     // the branch if no member can be reached
	code    codes.Code // the error's code if a member can be reached
}

func putOf(key, val string) func(context.Context, *clientv3.Client) error {
	return func(ctx context.Context, cli *clientv3.Client) error {
		_, err := cli.Put(ctx, key, val)
		return err
	}
}

func cancelled(
	run func(context.Context, *clientv3.Client) error,
) func(context.Context, *clientv3.Client) error {
	return func(ctx context.Context, cli *clientv3.Client) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return run(ctx, cli)
	}
}

func inNamespace(ctx context.Context, cli *clientv3.Client) error {
	unprefixed := cli.KV
	cli.KV = namespace.NewKV(cli.KV, "my-prefix/")
	cli.Watcher = namespace.NewWatcher(cli.Watcher, "my-prefix/")
	cli.Lease = namespace.NewLease(cli.Lease, "my-prefix/")
	if _, err := cli.Put(ctx, "abc", "123"); err != nil {
		return err
	}
	resp, err := unprefixed.Get(ctx, "my-prefix/abc")
	if err == nil && (len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "123") {
		return errors.New("not under the prefix")
	}
	return err
}

func overTheReceiveLimit(ctx context.Context, cli *clientv3.Client) error {
	for _, key := range []string{"big/1", "big/2"} {
		if _, err := cli.Put(ctx, key, strings.Repeat("v", 40<<10)); err != nil {
			return err
		}
	}
	_, err := cli.Get(ctx, "big/", clientv3.WithPrefix())
	return err
}

var situations = []situation{
	{name: "a put", run: putOf("sample", "value"), with: "ok", without: "deadline"},
	{name: "a cancelled put", run: cancelled(putOf("sample", "value")), with: "cancelled",
		without: "cancelled", code: codes.Canceled},
	{name: "an empty key", run: putOf("", "value"), with: "empty key", without: "deadline",
		code: codes.InvalidArgument},
	{name: "a deadline that has passed", with: "deadline", without: "deadline",
		code: codes.DeadlineExceeded,
		run: func(ctx context.Context, cli *clientv3.Client) error {
			ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
			defer cancel()
			return putOf("sample", "value")(ctx, cli)
		}},
	{name: "a namespace", run: inNamespace, with: "ok", without: "deadline"},
	{name: "a large value", run: putOf("large", strings.Repeat("v", 1<<20)), with: "ok",
		without: "deadline"},
	{name: "a request over the limit", cfg: clientv3.Config{MaxCallSendMsgSize: 64 << 10},
		run: putOf("large", strings.Repeat("v", 65<<10)), with: "fatal", without: "deadline",
		code: codes.ResourceExhausted},
	{name: "a response over the limit", cfg: clientv3.Config{MaxCallSendMsgSize: 64 << 10,
		MaxCallRecvMsgSize: 64 << 10},
		run: overTheReceiveLimit, with: "fatal", without: "deadline",
		code: codes.ResourceExhausted},
	{name: "limits that are kept", cfg: clientv3.Config{MaxCallSendMsgSize: 64 << 10,
		MaxCallRecvMsgSize: 128 << 10},
		run: overTheReceiveLimit, with: "ok", without: "deadline"},
}

// TestProgramsAsTaught runs programs as the documentation of etcd's client has taught them since
// its first release: a dial timeout, a timeout for each call, a switch on the error with ==, codes,
// namespaces, limits on messages. Each takes the right branch in time, also if no member can be
// reached.
func TestProgramsAsTaught(t *testing.T) {
	cluster := etcdtest.Start(t)
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			begin := func(eps []string) *clientv3.Client {
				s.cfg.Endpoints, s.cfg.DialTimeout = eps, 5*time.Second
				took := testclient.Stopwatch(t)
				cli := testclient.New(t, s.cfg)
				assert.Less(t, took(), time.Second, "New does not wait")
				return cli
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			cli := begin(cluster.Endpoints())
			err := s.run(ctx, cli)
			branch, _, _ := strings.Cut(branchOf(err), ":")
			assert.Equal(t, s.with, branch, "%v", err)
			assert.Equal(t, s.code, codeOf(err), "%v", err)
			assert.NoError(t, cli.ConnectionError())

			ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			cli, took := begin([]string{"127.0.0.1:1"}), testclient.Stopwatch(t)
			assert.Equal(t, s.without, branchOf(s.run(ctx, cli)))
			assert.Less(t, took(), 2*time.Second)
			require.Eventually(t, func() bool {
				return cli.ConnectionError() != nil
			}, time.Minute, time.Millisecond)
			assert.ErrorContains(t, cli.ConnectionError(), "connection refused")
		})
	}
}
