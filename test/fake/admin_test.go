package fake_test

import (
	"strconv"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// withUsers turns authentication on, with users that have different permissions.
func (g *generator) withUsers() {
	for _, name := range []string{"root", "alice", "bob"} {
		g.call(pb.Auth_UserAdd_FullMethodName, &pb.AuthUserAddRequest{Name: name, Password: "pw"},
			new(pb.AuthUserAddResponse))
		g.call(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: name},
			new(pb.AuthRoleAddResponse))
		for range 3 {
			g.call(pb.Auth_RoleGrantPermission_FullMethodName,
				&pb.AuthRoleGrantPermissionRequest{Name: name, Perm: g.permission()},
				new(pb.AuthRoleGrantPermissionResponse))
		}
		g.call(pb.Auth_UserGrantRole_FullMethodName,
			&pb.AuthUserGrantRoleRequest{User: name, Role: name},
			new(pb.AuthUserGrantRoleResponse))
	}
	g.call(pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{}, new(pb.AuthEnableResponse))
	for _, name := range []string{"root", "alice", "bob"} {
		g.login(name, "pw")
	}
	// Root is picked most often, because the servers refuse many requests of the other users.
	g.users = []string{"root", "root", "root", "root", "root", "alice", "alice", "bob", "", "bad",
		"bad.7"}
}

func (g *generator) login(name, password string) {
	g.callAs("", pb.Auth_Authenticate_FullMethodName,
		&pb.AuthenticateRequest{Name: name, Password: password}, new(pb.AuthenticateResponse))
}

func (g *generator) permission() *authpb.Permission {
	return &authpb.Permission{PermType: authpb.Permission_Type(g.rnd.IntN(3)), Key: g.key(),
		RangeEnd: g.end()}
}

func (g *generator) name() string { return pick(g, "root", "alice", "bob", "carol", "") }

func (g *generator) authStep() {
	switch g.rnd.IntN(7) {
	case 0:
		g.enableStep()
	case 1, 2, 3:
		g.userStep()
	default:
		g.roleStep()
	}
}

func (g *generator) enableStep() {
	switch n := g.rnd.IntN(10); {
	case n < 2:
		g.call(pb.Auth_AuthEnable_FullMethodName, &pb.AuthEnableRequest{},
			new(pb.AuthEnableResponse))
	case n < 3:
		g.call(pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{},
			new(pb.AuthDisableResponse))
	case n < 6:
		g.call(pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{},
			new(pb.AuthStatusResponse))
	default:
		g.login(g.name(), pick(g, "pw", "pw", "pw", "other", ""))
	}
}

func (g *generator) userStep() {
	switch g.rnd.IntN(7) {
	case 0:
		req := &pb.AuthUserAddRequest{Name: g.name(), Password: pick(g, "pw", "pw", "")}
		if g.chance(30) {
			req.Options = &authpb.UserAddOptions{NoPassword: g.chance(50)}
		}
		g.call(pb.Auth_UserAdd_FullMethodName, req, new(pb.AuthUserAddResponse))
	case 1:
		g.call(pb.Auth_UserGet_FullMethodName, &pb.AuthUserGetRequest{Name: g.name()},
			new(pb.AuthUserGetResponse))
	case 2:
		g.call(pb.Auth_UserList_FullMethodName, &pb.AuthUserListRequest{},
			new(pb.AuthUserListResponse))
	case 3:
		g.call(pb.Auth_UserDelete_FullMethodName,
			&pb.AuthUserDeleteRequest{Name: pick(g, "bob", "carol", "root")},
			new(pb.AuthUserDeleteResponse))
	case 4:
		g.call(pb.Auth_UserChangePassword_FullMethodName,
			&pb.AuthUserChangePasswordRequest{Name: pick(g, "alice", "bob", "carol"),
				Password: pick(g, "pw", "pw", "")},
			new(pb.AuthUserChangePasswordResponse))
	case 5:
		g.call(pb.Auth_UserGrantRole_FullMethodName,
			&pb.AuthUserGrantRoleRequest{User: g.name(), Role: g.name()},
			new(pb.AuthUserGrantRoleResponse))
	default:
		g.call(pb.Auth_UserRevokeRole_FullMethodName,
			&pb.AuthUserRevokeRoleRequest{Name: g.name(), Role: g.name()},
			new(pb.AuthUserRevokeRoleResponse))
	}
	g.login(pick(g, "root", "alice", "bob"), "pw")
}

func (g *generator) roleStep() {
	switch g.rnd.IntN(6) {
	case 0:
		g.call(pb.Auth_RoleAdd_FullMethodName, &pb.AuthRoleAddRequest{Name: g.name()},
			new(pb.AuthRoleAddResponse))
	case 1:
		g.call(pb.Auth_RoleGet_FullMethodName, &pb.AuthRoleGetRequest{Role: g.name()},
			new(pb.AuthRoleGetResponse))
	case 2:
		g.call(pb.Auth_RoleList_FullMethodName, &pb.AuthRoleListRequest{},
			new(pb.AuthRoleListResponse))
	case 3:
		if g.chance(30) {
			g.call(pb.Auth_RoleDelete_FullMethodName, &pb.AuthRoleDeleteRequest{Role: g.name()},
				new(pb.AuthRoleDeleteResponse))
		}
	case 4:
		req := &pb.AuthRoleGrantPermissionRequest{Name: g.name(), Perm: g.permission()}
		if g.chance(5) {
			req.Perm = nil
		}
		g.call(pb.Auth_RoleGrantPermission_FullMethodName, req,
			new(pb.AuthRoleGrantPermissionResponse))
	default:
		g.call(pb.Auth_RoleRevokePermission_FullMethodName,
			&pb.AuthRoleRevokePermissionRequest{Role: g.name(), Key: g.key(), RangeEnd: g.end()},
			new(pb.AuthRoleRevokePermissionResponse))
	}
}

// peerURLs returns the URLs of a member that never starts. It uses no valid URL twice: etcd makes a
// member's ID from the URLs and the time in seconds, so two members might get the same ID.
func (g *generator) peerURLs() []string {
	if g.chance(20) {
		return pick(g, []string{"127.0.0.1:9"}, nil, []string{"http://127.0.0.1"},
			[]string{"ftp://127.0.0.1:9"}, []string{"http://127.0.0.1:9/path"})
	}
	g.ports++
	return []string{"http://127.0.0.1:" + strconv.Itoa(g.ports)}
}

// memberStep adds learners only: one more member that votes and never starts would stop the real
// server.
func (g *generator) memberStep() {
	own := uint64(0xfa4e01)
	id := pick(g, append([]uint64{own, 12345}, g.learners...)...)
	switch g.rnd.IntN(5) {
	case 0:
		req := &pb.MemberAddRequest{PeerURLs: g.peerURLs(), IsLearner: true}
		resp, err := g.call(pb.Cluster_MemberAdd_FullMethodName, req, new(pb.MemberAddResponse))
		if err == nil {
			g.learners = append(g.learners, resp.(*pb.MemberAddResponse).Member.ID)
		}
	case 1:
		g.call(pb.Cluster_MemberRemove_FullMethodName, &pb.MemberRemoveRequest{ID: id},
			new(pb.MemberRemoveResponse))
	case 2:
		if id != own {
			g.ports++ // only valid URLs: etcd crashes on others
			url := "http://127.0.0.1:" + strconv.Itoa(g.ports)
			g.call(pb.Cluster_MemberUpdate_FullMethodName,
				&pb.MemberUpdateRequest{ID: id, PeerURLs: []string{url}},
				new(pb.MemberUpdateResponse))
		}
	case 3:
		g.call(pb.Cluster_MemberPromote_FullMethodName, &pb.MemberPromoteRequest{ID: id},
			new(pb.MemberPromoteResponse))
	default:
		g.call(pb.Cluster_MemberList_FullMethodName,
			&pb.MemberListRequest{Linearizable: g.chance(50)}, new(pb.MemberListResponse))
	}
}

func (g *generator) maintenanceStep() {
	switch n := g.rnd.IntN(100); {
	case n < 15:
		g.alarmStep()
	case n < 35:
		g.call(pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}, new(pb.StatusResponse))
	case n < 40:
		g.call(pb.Maintenance_Defragment_FullMethodName, &pb.DefragmentRequest{},
			new(pb.DefragmentResponse))
	case n < 50:
		g.call(pb.Maintenance_Hash_FullMethodName, &pb.HashRequest{}, new(pb.HashResponse))
	case n < 80:
		// The hash that HashKV returns includes lease IDs. They differ if each server chooses its
		// own IDs.
		if !g.ownIDs {
			g.call(pb.Maintenance_HashKV_FullMethodName,
				&pb.HashKVRequest{Revision: pick(g, 0, g.revision(), g.compacted, g.revision())},
				new(pb.HashKVResponse))
		}
	case n < 90:
		g.call(pb.Maintenance_MoveLeader_FullMethodName,
			&pb.MoveLeaderRequest{TargetID: pick[uint64](g, 0xfa4e01, 12345)},
			new(pb.MoveLeaderResponse))
	default:
		g.call(pb.Maintenance_Downgrade_FullMethodName, &pb.DowngradeRequest{
			Action:  pick(g, pb.DowngradeRequest_VALIDATE, pb.DowngradeRequest_CANCEL, 9),
			Version: pick(g, "3.6", "3.6.0", "3.5.0", "3.6.4", "x", "", "3.7"),
		}, new(pb.DowngradeResponse))
	}
}

// alarmStep raises an alarm and disarms it soon, because the servers refuse nearly all requests
// during an alarm.
func (g *generator) alarmStep() {
	req := &pb.AlarmRequest{Action: pb.AlarmRequest_AlarmAction(g.rnd.IntN(3)),
		MemberID: uint64(1 + g.rnd.IntN(2)), Alarm: pb.AlarmType(g.rnd.IntN(3))}
	_, err := g.call(pb.Maintenance_Alarm_FullMethodName, req, new(pb.AlarmResponse))
	if err != nil || req.Action != pb.AlarmRequest_ACTIVATE || req.Alarm == pb.AlarmType_NONE {
		return
	}
	for range 6 {
		g.step()
	}
	g.callAs("root", pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{
		Action: pb.AlarmRequest_DEACTIVATE, MemberID: req.MemberID, Alarm: req.Alarm},
		new(pb.AlarmResponse))
}
