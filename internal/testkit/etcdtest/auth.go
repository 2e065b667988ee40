package etcdtest

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// rootName is the name of both the user and the role that have all rights in etcd.
const rootName = "root"

// EnableAuth turns authentication on. First it creates the user root with the given password, or
// changes root's password if the user exists. It returns once every running member accepts root's
// password. From then on, calls of this package authenticate as root.
func (c *Cluster) EnableAuth(rootPassword string) error {
	err := c.admin("enable auth", func(ctx context.Context, conn *grpc.ClientConn) error {
		auth := pb.NewAuthClient(conn)
		_, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: rootName, Password: rootPassword})
		if errors.Is(rpctypes.Error(err), rpctypes.ErrUserAlreadyExist) {
			_, err = auth.UserChangePassword(ctx,
				&pb.AuthUserChangePasswordRequest{Name: rootName, Password: rootPassword})
		}
		if err == nil {
			err = grantRoles(ctx, auth, rootName, rootName)
		}
		if err == nil {
			_, err = auth.AuthEnable(ctx, &pb.AuthEnableRequest{})
		}
		return err
	})
	if err != nil {
		return err
	}
	c.setRootPassword(rootPassword)
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	for _, m := range c.running() {
		if err := c.waitAuth(ctx, m); err != nil {
			return fmt.Errorf("etcdtest: %s does not authenticate root: %w", m.name, err)
		}
	}
	return nil
}

// waitAuth waits until m authenticates root. A member that lags behind learns late that
// authentication is on.
func (c *Cluster) waitAuth(ctx context.Context, m *Member) error {
	conn, err := c.dial([]*Member{m})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the error does not matter: conn is not used any more
	return poll(ctx, func(ctx context.Context) error {
		_, err := c.asRoot(ctx, conn)
		return err
	})
}

// DisableAuth turns authentication off again; users and roles stay.
func (c *Cluster) DisableAuth() error {
	err := c.admin("disable auth", func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewAuthClient(conn).AuthDisable(ctx, &pb.AuthDisableRequest{})
		return err
	})
	if err == nil {
		c.setRootPassword("")
	}
	return err
}

// AddRole makes a role with the given permissions, for example
// &authpb.Permission{PermType: authpb.READWRITE, Key: []byte("a"), RangeEnd: []byte("b")}.
func (c *Cluster) AddRole(name string, perms ...*authpb.Permission) error {
	return c.admin(fmt.Sprintf("add role %q", name),
		func(ctx context.Context, conn *grpc.ClientConn) error {
			auth := pb.NewAuthClient(conn)
			_, err := auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: name})
			for i := 0; i < len(perms) && err == nil; i++ {
				_, err = auth.RoleGrantPermission(ctx,
					&pb.AuthRoleGrantPermissionRequest{Name: name, Perm: perms[i]})
			}
			return err
		})
}

// AddUser creates a user who has the given roles. An empty password makes a user without a
// password, who can authenticate only by a client certificate.
func (c *Cluster) AddUser(name, password string, roles ...string) error {
	return c.admin(fmt.Sprintf("add user %q", name),
		func(ctx context.Context, conn *grpc.ClientConn) error {
			auth := pb.NewAuthClient(conn)
			if _, err := auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: name, Password: password,
				Options: &authpb.UserAddOptions{NoPassword: password == ""}}); err != nil {
				return err
			}
			return grantRoles(ctx, auth, name, roles...)
		})
}

func grantRoles(ctx context.Context, auth pb.AuthClient, user string, roles ...string) error {
	for _, role := range roles {
		if _, err := auth.UserGrantRole(ctx,
			&pb.AuthUserGrantRoleRequest{User: user, Role: role}); err != nil {
			return err
		}
	}
	return nil
}

// admin calls fn with a connection to a running member. If authentication is on, every request on
// this connection is made as the user root. The parameter what names the operation in admin's
// error.
func (c *Cluster) admin(what string, fn func(context.Context, *grpc.ClientConn) error) error {
	running := c.running()
	if len(running) == 0 {
		return fmt.Errorf("etcdtest: %s: no member is running", what)
	}
	// One member only, because a token is valid at once only at the member that issued it.
	conn, err := c.dial(running[:1], grpc.WithUnaryInterceptor(c.callAsRoot))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the error does not matter: conn is not used any more
	ctx, cancel := context.WithTimeout(context.Background(), serveTimeout)
	defer cancel()
	if err := fn(ctx, conn); err != nil {
		return fmt.Errorf("etcdtest: %s: %w", what, err)
	}
	return nil
}

// callAsRoot is an interceptor that logs in as root for each request, and sends the request with
// the new token. If the token has expired before the request arrives, callAsRoot tries again, which
// is safe: a request whose token is refused was not carried out.
func (c *Cluster) callAsRoot(ctx context.Context, method string, req, reply any,
	conn *grpc.ClientConn, call grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if method == pb.Auth_Authenticate_FullMethodName {
		return call(ctx, method, req, reply, conn, opts...)
	}
	const tries = 5
	var err error
	for range tries {
		var authed context.Context
		if authed, err = c.asRoot(ctx, conn); err != nil {
			return err
		}
		err = call(authed, method, req, reply, conn, opts...)
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken) {
			break
		}
	}
	return err
}

func (c *Cluster) asRoot(ctx context.Context, conn *grpc.ClientConn) (context.Context, error) {
	c.mu.Lock()
	password := c.rootPassword
	c.mu.Unlock()
	if password == "" {
		return ctx, nil
	}
	resp, err := pb.NewAuthClient(conn).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: rootName, Password: password})
	if err != nil {
		return nil, fmt.Errorf("authenticate %s: %w", rootName, err)
	}
	return metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, resp.Token), nil
}

func (c *Cluster) setRootPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rootPassword = password
}
