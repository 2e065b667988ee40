package etcdfake

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

const root = "root"

// addUsers adds the users that were given to WithUsers, and turns authentication on. It does
// nothing if there are no such users.
func (c *Cluster) addUsers() {
	c.tb.Helper()
	users := c.opts.users
	if len(users) == 0 {
		return
	}
	if !slices.ContainsFunc(users, func(u User) bool { return u.Name == root }) {
		users = append(users, User{Name: root, Password: root})
	}
	for _, u := range users {
		c.addUser(u)
	}
	c.setUp(pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{})
}

func (c *Cluster) addUser(u User) {
	c.tb.Helper()
	c.setUp(pb.Auth_UserAdd_FullMethodName,
		&pb.AuthUserAddRequest{Name: u.Name, Password: u.Password})
	c.setUp(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: u.Name})
	for _, p := range u.Permissions {
		c.setUp(pb.Auth_RoleGrantPermission_FullMethodName,
			&pb.AuthRoleGrantPermissionRequest{Name: u.Name, Perm: p})
	}
	c.setUp(pb.Auth_UserGrantRole_FullMethodName,
		&pb.AuthUserGrantRoleRequest{User: u.Name, Role: u.Name})
}

func (c *Cluster) setUp(method string, req proto.Message) {
	c.tb.Helper()
	if _, _, err := c.store.Call(c.members[0].caller(nil), method, req); err != nil {
		c.tb.Fatalf("etcdfake: WithUsers: %s: %v", method, err)
	}
}
