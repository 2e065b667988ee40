package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// refusals shows a user's successful requests, and three attempts that the server refuses.
func refusals(ctx context.Context, out io.Writer) (err error) {
	server, err := etcdtest.New(etcdtest.WithMutualTLS())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	spec := clientv3.ConfigSpec{
		Endpoints: server.Endpoints(),
		Secure: &clientv3.SecureConfig{Cacert: server.CAFile(),
			Cert: server.CertFile("client"), Key: server.KeyFile("client")},
	}
	if err := addUsers(ctx, spec); err != nil {
		return err
	}

	as := func(user, password string) clientv3.ConfigSpec {
		spec := spec
		spec.Auth = &clientv3.AuthConfig{Username: user, Password: password}
		return spec
	}
	if err := putAndGet(ctx, out, as("alice", "rabbit"), "app/greeting"); err != nil {
		return err
	}
	err = putAndGet(ctx, out, as("alice", "rabbit"), "other/greeting")
	fmt.Fprintln(out, "a key of others:", errors.Is(err, rpctypes.ErrPermissionDenied), "-", err)
	err = putAndGet(ctx, out, as("alice", "hare"), "app/greeting")
	fmt.Fprintln(out, "a wrong password:", errors.Is(err, rpctypes.ErrAuthFailed), "-", err)

	spec.Secure = &clientv3.SecureConfig{Cacert: server.CAFile()}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err = putAndGet(short, out, spec, "app/greeting")
	fmt.Fprintln(out, "no certificate:", errors.Is(err, context.DeadlineExceeded))
	return nil
}

// addUsers adds the user alice, who may use the keys below app/, and turns authentication on. For
// that, etcd requires a user root with the role root.
func addUsers(ctx context.Context, spec clientv3.ConfigSpec) (err error) {
	cfg, err := clientv3.NewClientConfig(&spec, nil)
	if err != nil {
		return err
	}
	client, err := clientv3.New(*cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	prefix, end := "app/", clientv3.GetPrefixRangeEnd("app/")
	steps := []func() error{
		func() error { _, err := client.RoleAdd(ctx, "root"); return err },
		func() error { _, err := client.UserAdd(ctx, "root", "queen"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.RoleAdd(ctx, "app"); return err },
		func() error {
			readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
			_, err := client.RoleGrantPermission(ctx, "app", prefix, end, readWrite)
			return err
		},
		func() error { _, err := client.UserAdd(ctx, "alice", "rabbit"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "alice", "app"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
