package fake_test

import (
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func (p *pair) addUser(name string, perms ...*authpb.Permission) {
	p.t.Helper()
	p.call("", pb.Auth_UserAdd_FullMethodName, &pb.AuthUserAddRequest{Name: name, Password: "pw"},
		new(pb.AuthUserAddResponse))
	p.call("", pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: name},
		new(pb.AuthRoleAddResponse))
	for _, perm := range perms {
		p.call("", pb.Auth_RoleGrantPermission_FullMethodName,
			&pb.AuthRoleGrantPermissionRequest{Name: name, Perm: perm},
			new(pb.AuthRoleGrantPermissionResponse))
	}
	p.call("", pb.Auth_UserGrantRole_FullMethodName,
		&pb.AuthUserGrantRoleRequest{User: name, Role: name}, new(pb.AuthUserGrantRoleResponse))
}

func (p *pair) enableAuth(users ...string) {
	p.t.Helper()
	p.call("", pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{},
		new(pb.AuthEnableResponse))
	for _, name := range users {
		p.login(name)
	}
}

func (p *pair) login(name string) {
	p.t.Helper()
	p.call("", pb.Auth_Authenticate_FullMethodName,
		&pb.AuthenticateRequest{Name: name, Password: "pw"}, new(pb.AuthenticateResponse))
}

func perm(kind authpb.Permission_Type, key, end string) *authpb.Permission {
	return &authpb.Permission{PermType: kind, Key: []byte(key), RangeEnd: []byte(end)}
}

func permissionsOnIntervals(p *pair) {
	p.addUser("root")
	p.addUser("alice", perm(authpb.Permission_READ, "a", "c"),
		perm(authpb.Permission_READ, "c", "e"),
		perm(authpb.Permission_WRITE, "b", ""), perm(authpb.Permission_READWRITE, "x", "\x00"))
	p.addUser("bob", perm(authpb.Permission_READ, "", "\x00"),
		perm(authpb.Permission_WRITE, "a", "a"))
	p.enableAuth("root", "alice", "bob")
	for _, user := range []string{"root", "alice", "bob", "", "unknown"} {
		for _, in := range [][2]string{{"a", ""}, {"a", "e"}, {"a", "f"}, {"b", "d"},
			{"b", "b\x00"},
			{"e", ""}, {"d", "e"}, {"x", "\x00"}, {"w", "\x00"}, {"y", "z"}, {"\x00", "\x00"}} {
			key, end := []byte(in[0]), []byte(in[1])
			p.get(user, &pb.RangeRequest{Key: key, RangeEnd: end})
			p.get(user, &pb.RangeRequest{Key: key, RangeEnd: end, Serializable: true})
			p.call(user, pb.KV_DeleteRange_FullMethodName,
				&pb.DeleteRangeRequest{Key: key, RangeEnd: end}, new(pb.DeleteRangeResponse))
			p.call(user, pb.KV_DeleteRange_FullMethodName,
				&pb.DeleteRangeRequest{Key: key, RangeEnd: end, PrevKv: true},
				new(pb.DeleteRangeResponse))
			p.call(user, pb.KV_Put_FullMethodName, &pb.PutRequest{Key: key}, new(pb.PutResponse))
			p.call(user, pb.KV_Put_FullMethodName, &pb.PutRequest{Key: key, PrevKv: true},
				new(pb.PutResponse))
			p.txn(user, txnOf(&pb.RangeRequest{Key: key, RangeEnd: end}, txnOf(putOf("b"))))
			p.txn(user, &pb.TxnRequest{Compare: []*pb.Compare{{Key: key, RangeEnd: end}}})
			p.stream(user, pb.KV_RangeStream_FullMethodName,
				&pb.RangeRequest{Key: key, RangeEnd: end}, new(pb.RangeStreamResponse), false)
		}
		p.watches.open(user)
		p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte("e")})
		p.watches.create(&pb.WatchCreateRequest{Key: []byte("e")})
		p.watches.same()
	}
}

func lostRoles(p *pair) {
	p.addUser("root")
	p.addUser("alice", perm(authpb.Permission_READWRITE, "a", ""))
	p.addUser("bob", perm(authpb.Permission_READWRITE, "a", ""))
	p.enableAuth("root", "alice", "bob")
	p.watches.open("alice")
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 5})
	p.watches.same()
	p.use("alice")
	p.call("root", pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: "alice"},
		new(pb.AuthRoleDeleteResponse))
	p.use("alice")
	p.login("alice")
	p.use("alice")
	p.login("root")
	p.use("root")
	p.watches.same()
	p.watches.create(&pb.WatchCreateRequest{Key: []byte("a"), WatchId: 6})
	p.watches.same()
	p.call("root", pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: "alice"},
		new(pb.AuthUserGetResponse))
	p.call("root", pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: "bob"},
		new(pb.AuthUserDeleteResponse))
	p.use("bob")
	p.login("bob")
	p.login("root")
	p.call("root", pb.Auth_UserChangePassword_FullMethodName,
		&pb.AuthUserChangePasswordRequest{Name: "alice", Password: "other"},
		new(pb.AuthUserChangePasswordResponse))
	p.use("alice")
	p.login("alice")
	p.login("root")
	lostRoot(p)
}

func lostRoot(p *pair) {
	for _, name := range []string{"root", "alice", "none"} {
		p.call("root", pb.Auth_UserRevokeRole_FullMethodName,
			&pb.AuthUserRevokeRoleRequest{Name: name, Role: name},
			new(pb.AuthUserRevokeRoleResponse))
		p.call("root", pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: name},
			new(pb.AuthRoleDeleteResponse))
		p.call("root", pb.Auth_UserDelete_FullMethodName, &pb.AuthUserDeleteRequest{Name: name},
			new(pb.AuthUserDeleteResponse))
		p.login("root")
	}
	p.call("root", pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{},
		new(pb.AuthDisableResponse))
	p.use("alice")
	p.use("unknown")
	p.call("alice", pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{},
		new(pb.AuthDisableResponse))
	p.call("", pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{},
		new(pb.AuthStatusResponse))
	p.login("root")
}

// The method use writes and reads a key as the given user.
func (p *pair) use(user string) {
	p.t.Helper()
	p.call(user, pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}, new(pb.PutResponse))
	p.get(user, &pb.RangeRequest{Key: []byte("a")})
	p.get(user, &pb.RangeRequest{Key: []byte("a"), Serializable: true})
}

func staleTokens(p *pair) {
	p.addUser("root")
	p.addUser("alice", perm(authpb.Permission_READWRITE, "a", ""))
	p.enableAuth("root", "alice")
	old := p.tokens["alice"]
	p.login("alice")
	p.tokens["old"] = old
	for _, user := range []string{"alice", "old", "root", "", "unknown"} {
		p.askAll(user)
	}
	p.call("root", pb.Auth_RoleGrantPermission_FullMethodName, &pb.AuthRoleGrantPermissionRequest{
		Name: "alice", Perm: perm(authpb.Permission_READ, "b", "")},
		new(pb.AuthRoleGrantPermissionResponse))
	for _, user := range []string{"alice", "old", "root"} {
		p.askAll(user)
		p.stream(user, pb.KV_RangeStream_FullMethodName, &pb.RangeRequest{Key: []byte("a")},
			new(pb.RangeStreamResponse), false)
		p.watches.open(user)
		p.watches.create(&pb.WatchCreateRequest{Key: []byte("a")})
		p.watches.same()
	}
}

// askAll sends, as the user, one request of each kind: some need a permission, others only a user
// who has logged in.
func (p *pair) askAll(user string) {
	p.t.Helper()
	p.get(user, &pb.RangeRequest{Key: []byte("a")})
	p.call(user, pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("a")}, new(pb.PutResponse))
	p.call(user, pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{},
		new(pb.LeaseLeasesResponse))
	p.call(user, pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 3, TTL: 3600},
		new(pb.LeaseGrantResponse))
	p.stream(user, pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: 3},
		new(pb.LeaseKeepAliveResponse), true)
	p.call(user, pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{},
		new(pb.StatusResponse))
	p.call(user, pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{},
		new(pb.MemberListResponse))
	p.call(user, pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: "alice"},
		new(pb.AuthUserGetResponse))
	p.call(user, pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: "alice"},
		new(pb.AuthRoleGetResponse))
	p.call(user, pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{},
		new(pb.AlarmResponse))
	p.call(user, pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{},
		new(pb.HashKVResponse))
	p.call(user, pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: 1},
		new(pb.CompactionResponse))
}
