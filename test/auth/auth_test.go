package auth_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// Each method of Auth answers, and returns the errors that its documentation names.
func TestAuthMethods(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	t.Run("users", func(t *testing.T) { authUsers(t, client) })
	t.Run("roles", func(t *testing.T) { authRoles(t, client) })
	t.Run("switch", func(t *testing.T) { authSwitch(t, client) })
}

func authUsers(t *testing.T, client *clientv3.Client) {
	ctx := t.Context()
	for _, user := range []string{"root", "alice", "bob"} {
		resp, err := client.UserAdd(ctx, user, "pw")
		require.NoError(t, err)
		assert.NotZero(t, resp.Header.GetClusterId())
	}
	_, err := client.UserAdd(ctx, "bob", "pw")
	assert.Equal(t, rpctypes.ErrUserAlreadyExist, err)
	_, err = client.UserAdd(ctx, "", "pw")
	assert.Equal(t, rpctypes.ErrUserEmpty, err)
	_, err = client.UserAddWithOptions(ctx, "cert", "", &clientv3.UserAddOptions{NoPassword: true})
	assert.NoError(t, err)
	_, err = client.UserAddWithOptions(ctx, "carol", "pw", nil)
	assert.NoError(t, err)

	users, err := client.UserList(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"root", "alice", "bob", "cert", "carol"}, users.Users)

	_, err = client.UserDelete(ctx, "carol")
	assert.NoError(t, err)
	_, err = client.UserDelete(ctx, "carol")
	assert.Equal(t, rpctypes.ErrUserNotFound, err)
	_, err = client.UserChangePassword(ctx, "bob", "pw2")
	assert.NoError(t, err)
	_, err = client.UserChangePassword(ctx, "carol", "pw2")
	assert.Equal(t, rpctypes.ErrUserNotFound, err)
	_, err = client.UserGet(ctx, "carol")
	assert.Equal(t, rpctypes.ErrUserNotFound, err)
}

func authRoles(t *testing.T, client *clientv3.Client) {
	ctx := t.Context()
	for _, role := range []string{"root", "reader", "writer"} {
		_, err := client.RoleAdd(ctx, role)
		require.NoError(t, err)
	}
	_, err := client.RoleAdd(ctx, "reader")
	assert.Equal(t, rpctypes.ErrRoleAlreadyExist, err)
	_, err = client.RoleAdd(ctx, "")
	assert.Equal(t, rpctypes.ErrRoleEmpty, err)

	_, err = client.RoleGrantPermission(ctx, "reader", "a", "b",
		clientv3.PermissionType(clientv3.PermRead))
	assert.NoError(t, err)
	_, err = client.RoleGrantPermission(ctx, "reader", "k", "",
		clientv3.PermissionType(clientv3.PermReadWrite))
	assert.NoError(t, err)
	_, err = client.RoleGrantPermission(ctx, "none", "k", "",
		clientv3.PermissionType(clientv3.PermRead))
	assert.Equal(t, rpctypes.ErrRoleNotFound, err)
	role, err := client.RoleGet(ctx, "reader")
	require.NoError(t, err)
	require.Len(t, role.Perm, 2)
	assert.Equal(t, "a b READ", permission(role.Perm[0]))
	assert.Equal(t, "k  READWRITE", permission(role.Perm[1]))

	_, err = client.RoleRevokePermission(ctx, "reader", "k", "")
	assert.NoError(t, err)
	_, err = client.RoleRevokePermission(ctx, "reader", "k", "")
	assert.Equal(t, rpctypes.ErrPermissionNotGranted, err)
	role, err = client.RoleGet(ctx, "reader")
	require.NoError(t, err)
	assert.Len(t, role.Perm, 1)

	for _, r := range []string{"reader", "writer"} {
		_, err = client.UserGrantRole(ctx, "alice", r)
		assert.NoError(t, err)
	}
	user, err := client.UserGet(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, []string{"reader", "writer"}, user.Roles)
	_, err = client.UserRevokeRole(ctx, "alice", "writer")
	assert.NoError(t, err)
	_, err = client.UserRevokeRole(ctx, "alice", "writer")
	assert.Equal(t, rpctypes.ErrRoleNotGranted, err)
	_, err = client.UserGrantRole(ctx, "alice", "none")
	assert.Equal(t, rpctypes.ErrRoleNotFound, err)

	_, err = client.RoleDelete(ctx, "writer")
	assert.NoError(t, err)
	_, err = client.RoleDelete(ctx, "writer")
	assert.Equal(t, rpctypes.ErrRoleNotFound, err)
	roles, err := client.RoleList(ctx)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"root", "reader"}, roles.Roles)
}

func permission(p *authpb.Permission) string {
	return string(p.Key) + " " + string(p.RangeEnd) + " " + p.PermType.String()
}

func authSwitch(t *testing.T, client *clientv3.Client) {
	ctx := t.Context()
	_, err := client.Authenticate(ctx, "alice", "pw")
	assert.Equal(t, rpctypes.ErrAuthNotEnabled, err)
	_, err = client.AuthEnable(ctx)
	assert.Equal(t, rpctypes.ErrRootRoleNotExist, err)
	_, err = client.UserGrantRole(ctx, "root", "root")
	require.NoError(t, err)
	status, err := client.AuthStatus(ctx)
	require.NoError(t, err)
	assert.False(t, status.Enabled)
	assert.Greater(t, status.AuthRevision, uint64(1))

	_, err = client.AuthEnable(ctx)
	require.NoError(t, err)
	defer func() {
		root, err := clientv3.New(clientv3.Config{Endpoints: client.Endpoints(), Username: "root",
			Password: "pw"})
		require.NoError(t, err)
		defer func() { assert.NoError(t, root.Close()) }()
		_, err = root.UserDelete(ctx, "root")
		assert.Equal(t, rpctypes.ErrInvalidAuthMgmt, err)
		_, err = root.AuthDisable(ctx)
		require.NoError(t, err)
		status, err := root.AuthStatus(ctx)
		require.NoError(t, err)
		assert.False(t, status.Enabled)
	}()
	token, err := client.Authenticate(ctx, "alice", "pw")
	require.NoError(t, err)
	assert.NotEmpty(t, token.Token)
	for _, user := range []string{"alice", "unknown"} {
		_, err = client.Authenticate(ctx, user, "wrong")
		assert.Equal(t, rpctypes.ErrAuthFailed, err)
	}
	_, err = client.UserList(ctx)
	assert.Equal(t, rpctypes.ErrUserEmpty, err, "a client without a user")
}

// TestPermissionDenied: for a user without the role root, each method that needs the role returns
// ErrPermissionDenied, and all other methods succeed.
func TestPermissionDenied(t *testing.T) {
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.EnableAuth("rootpw"))
	require.NoError(t, cluster.AddRole("reader",
		&authpb.Permission{PermType: authpb.READ, Key: []byte("a")}))
	require.NoError(t, cluster.AddUser("alice", "pw", "reader"))
	c := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
	ep := cluster.Endpoints()[0]

	for _, calls := range []map[string]func(context.Context) error{
		allowedToRoot(c), allowedToAdmins(c, ep),
	} {
		for name, call := range calls {
			assert.Equal(t, rpctypes.ErrPermissionDenied, call(t.Context()), name)
		}
	}
	for name, call := range allowedToAll(c, ep) {
		assert.NoError(t, call(t.Context()), name)
	}
}

// errOf returns the error of a call.
func errOf[T any](_ T, err error) error { return err }

// allowedToRoot returns the methods on users and roles that need the role root.
func allowedToRoot(c *clientv3.Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"AuthEnable":  func(ctx context.Context) error { return errOf(c.AuthEnable(ctx)) },
		"AuthDisable": func(ctx context.Context) error { return errOf(c.AuthDisable(ctx)) },
		"UserAdd":     func(ctx context.Context) error { return errOf(c.UserAdd(ctx, "x", "y")) },
		"UserAddWithOptions": func(ctx context.Context) error {
			return errOf(c.UserAddWithOptions(ctx, "x", "",
				&clientv3.UserAddOptions{NoPassword: true}))
		},
		"UserDelete": func(ctx context.Context) error {
			return errOf(c.UserDelete(ctx, "root"))
		},
		"UserChangePassword": func(ctx context.Context) error {
			return errOf(c.UserChangePassword(ctx, "alice", "x"))
		},
		"UserGrantRole": func(ctx context.Context) error {
			return errOf(c.UserGrantRole(ctx, "alice", "root"))
		},
		"UserGet": func(ctx context.Context) error {
			return errOf(c.UserGet(ctx, "root"))
		},
		"UserList": func(ctx context.Context) error { return errOf(c.UserList(ctx)) },
		"UserRevokeRole": func(ctx context.Context) error {
			return errOf(c.UserRevokeRole(ctx, "alice", "reader"))
		},
		"RoleAdd": func(ctx context.Context) error { return errOf(c.RoleAdd(ctx, "x")) },
		"RoleGrantPermission": func(ctx context.Context) error {
			return errOf(c.RoleGrantPermission(ctx, "reader", "a", "",
				clientv3.PermissionType(clientv3.PermWrite)))
		},
		"RoleGet":  func(ctx context.Context) error { return errOf(c.RoleGet(ctx, "root")) },
		"RoleList": func(ctx context.Context) error { return errOf(c.RoleList(ctx)) },
		"RoleRevokePermission": func(ctx context.Context) error {
			return errOf(c.RoleRevokePermission(ctx, "reader", "a", ""))
		},
		"RoleDelete": func(ctx context.Context) error { return errOf(c.RoleDelete(ctx, "reader")) },
	}
}

// allowedToAdmins returns the methods on members and their stores. They need the role root.
func allowedToAdmins(c *clientv3.Client, ep string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"MemberAdd": func(ctx context.Context) error {
			return errOf(c.MemberAdd(ctx, []string{"http://127.0.0.1:1"}))
		},
		"MemberAddAsLearner": func(ctx context.Context) error {
			return errOf(c.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"}))
		},
		"MemberRemove": func(ctx context.Context) error {
			return errOf(c.MemberRemove(ctx, 1))
		},
		"MemberUpdate": func(ctx context.Context) error {
			return errOf(c.MemberUpdate(ctx, 1, []string{"http://127.0.0.1:1"}))
		},
		"MemberPromote": func(ctx context.Context) error {
			return errOf(c.MemberPromote(ctx, 1))
		},

		"Defragment": func(ctx context.Context) error { return errOf(c.Defragment(ctx, ep)) },
		"HashKV":     func(ctx context.Context) error { return errOf(c.HashKV(ctx, ep, 0)) },
		"Snapshot":   func(ctx context.Context) error { return errOf(c.Snapshot(ctx)) },
		"SnapshotWithVersion": func(ctx context.Context) error {
			return errOf(c.SnapshotWithVersion(ctx))
		},
		"MoveLeader": func(ctx context.Context) error { return errOf(c.MoveLeader(ctx, 1)) },
		"Downgrade": func(ctx context.Context) error {
			return errOf(c.Downgrade(ctx, clientv3.DowngradeCancel, ""))
		},
		"AlarmDisarm": func(ctx context.Context) error {
			return errOf(c.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: 1}))
		},
	}
}

// allowedToAll returns the methods that every user may call.
func allowedToAll(c *clientv3.Client, ep string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"AuthStatus": func(ctx context.Context) error { return errOf(c.AuthStatus(ctx)) },
		"Authenticate": func(ctx context.Context) error {
			return errOf(c.Authenticate(ctx, "alice", "pw"))
		},
		"own user":   func(ctx context.Context) error { return errOf(c.UserGet(ctx, "alice")) },
		"own role":   func(ctx context.Context) error { return errOf(c.RoleGet(ctx, "reader")) },
		"MemberList": func(ctx context.Context) error { return errOf(c.MemberList(ctx)) },
		"Status":     func(ctx context.Context) error { return errOf(c.Status(ctx, ep)) },
		"AlarmList":  func(ctx context.Context) error { return errOf(c.AlarmList(ctx)) },
	}
}
