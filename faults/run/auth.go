package main

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

const (
	userName     = "user"
	userPassword = "user's password"
	rootPassword = "root's password"
)

// authScenarios are scenarios in which the cluster's authentication changes while a client that
// logs in is running.
var authScenarios = []scenario{
	{
		name: "token expiry", about: "Tokens live for two seconds.",
		options: []etcdtest.Option{etcdtest.WithJWT(2 * time.Second)},
		plan:    asUser(), length: 6 * time.Second, prepare: enableAuth, asked: "logins",
		fault: countLogins(-1), heal: countLogins(1),
	},
	{
		name: "password change", about: "The user has another password for three seconds, " +
			"and every call of that time has to fail.",
		plan: asUser(), length: 3 * time.Second, prepare: enableAuth, asked: "logins",
		fault: steps(countLogins(-1), changePassword("another password")),
		heal:  steps(countLogins(1), changePassword(userPassword)),
	},
	{
		name: "auth off and on", about: "Authentication is off for three seconds.",
		plan: asUser(), length: 3 * time.Second, prepare: enableAuth,
		fault: func(_ context.Context, b *bed) error { return b.DisableAuth() },
		heal:  func(_ context.Context, b *bed) error { return b.EnableAuth(rootPassword) },
	},
}

func asUser() record.Plan {
	plan := withTTL(10)
	plan.Username, plan.Password = userName, userPassword
	return plan
}

// steps returns a step that runs all the given steps in order, until one fails.
func steps(all ...step) step {
	return func(ctx context.Context, b *bed) error {
		for _, s := range all {
			if err := s(ctx, b); err != nil {
				return err
			}
		}
		return nil
	}
}

// enableAuth makes a user who may do everything with keys, and turns authentication on.
func enableAuth(_ context.Context, b *bed) error {
	all := &authpb.Permission{PermType: authpb.READWRITE, Key: []byte{0}, RangeEnd: []byte{0}}
	if err := b.EnableAuth(rootPassword); err != nil {
		return err
	}
	if err := b.AddRole("everything", all); err != nil {
		return err
	}
	return b.AddUser(userName, userPassword, "everything")
}

// changePassword returns a step that changes the password of the user userName.
func changePassword(password string) step {
	return func(ctx context.Context, b *bed) error {
		return b.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := pb.NewAuthClient(conn).UserChangePassword(ctx,
				&pb.AuthUserChangePasswordRequest{Name: userName, Password: password})
			return err
		})
	}
}

// countLogins returns a step that counts the logins so far, multiplies their number by factor, and
// adds the product to the bed's field asked. A step with factor -1 before the fault and a step with
// factor 1 after it leave the number of logins during the fault in asked.
func countLogins(factor int) step {
	return func(_ context.Context, b *bed) error {
		for _, m := range b.Members() {
			n, err := m.Metric("grpc_server_handled_total{", `grpc_method="Authenticate"`)
			if err != nil {
				return err
			}
			b.asked += factor * int(n)
		}
		return nil
	}
}
