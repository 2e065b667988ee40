package etcdfake

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"google.golang.org/grpc/metadata"
)

func TestEveryMethodHasADefault(t *testing.T) {
	s := Start(t)
	services := make(map[string]bool)
	for name, m := range s.methods {
		services[string(m.desc.Parent().Name())] = true
		if m.streaming() {
			assert.NotNil(t, m.defaultStream, name)
		} else {
			_, known := s.handlers()[name]
			assert.Equal(t, strings.HasPrefix(name, etcdPrefix), known, name)
		}
		assert.NotNil(t, m.request, name)
	}
	for _, name := range []string{"KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth",
		"Health"} {
		assert.True(t, services[name], name)
	}
}

func TestClusterSharesState(t *testing.T) {
	members := StartCluster(t, 3)
	conn := dial(t, members[2])
	w := openWatch(t, conn)
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a")})
	put(t, pb.NewKVClient(dial(t, members[0])), "a", "1")
	resp := recvWatch(t, w)
	assert.Len(t, resp.Events, 1)
	assert.Equal(t, members[2].memberID, resp.Header.MemberId)
	list, err := pb.NewClusterClient(conn).MemberList(testContext(t), &pb.MemberListRequest{})
	require.NoError(t, err)
	require.Len(t, list.Members, 3)
	for i, m := range list.Members {
		assert.Equal(t, []string{"http://" + members[i].Addr()}, m.ClientURLs)
		assert.Equal(t, members[i].memberID, m.ID)
	}
}

func TestMembers(t *testing.T) {
	s := Start(t)
	cc := pb.NewClusterClient(dial(t, s))
	add, err := cc.MemberAdd(testContext(t), &pb.MemberAddRequest{PeerURLs: []string{"http://peer"},
		IsLearner: true})
	require.NoError(t, err)
	assert.Len(t, add.Members, 2)
	assert.Equal(t, "fake", add.Members[0].Name)
	_, err = cc.MemberPromote(testContext(t), &pb.MemberPromoteRequest{ID: add.Member.ID})
	require.NoError(t, err)
	_, err = cc.MemberPromote(testContext(t), &pb.MemberPromoteRequest{ID: add.Member.ID})
	assert.Equal(t, rpctypes.ErrMemberNotLearner, rpctypes.Error(err))
	up, err := cc.MemberUpdate(testContext(t),
		&pb.MemberUpdateRequest{ID: add.Member.ID, PeerURLs: []string{"http://other"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"http://other"}, up.Members[1].PeerURLs)
	rm, err := cc.MemberRemove(testContext(t), &pb.MemberRemoveRequest{ID: add.Member.ID})
	require.NoError(t, err)
	assert.Len(t, rm.Members, 1)
	_, err = cc.MemberRemove(testContext(t), &pb.MemberRemoveRequest{ID: 1})
	assert.Equal(t, rpctypes.ErrMemberNotFound, rpctypes.Error(err))
	s.SetMembers()
	list, err := cc.MemberList(testContext(t), &pb.MemberListRequest{})
	require.NoError(t, err)
	assert.Empty(t, list.Members)
}

func TestMaintenance(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	mc := pb.NewMaintenanceClient(conn)
	put(t, pb.NewKVClient(conn), "a", "1")
	st, err := mc.Status(testContext(t), &pb.StatusRequest{})
	require.NoError(t, err)
	assert.Equal(t, version.Version, st.Version)
	assert.Equal(t, s.memberID, st.Leader)

	_, err = mc.Alarm(testContext(t), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE,
		MemberID: 5, Alarm: pb.AlarmType_NOSPACE})
	require.NoError(t, err)
	alarms, err := mc.Alarm(testContext(t), &pb.AlarmRequest{})
	require.NoError(t, err)
	assert.Len(t, alarms.Alarms, 1)
	alarms, err = mc.Alarm(testContext(t), &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE})
	require.NoError(t, err)
	assert.Len(t, alarms.Alarms, 1)
	alarms, err = mc.Alarm(testContext(t), &pb.AlarmRequest{})
	require.NoError(t, err)
	assert.Empty(t, alarms.Alarms)

	h1, err := mc.HashKV(testContext(t), &pb.HashKVRequest{})
	require.NoError(t, err)
	put(t, pb.NewKVClient(conn), "b", "1")
	h2, err := mc.HashKV(testContext(t), &pb.HashKVRequest{})
	require.NoError(t, err)
	old, err := mc.HashKV(testContext(t), &pb.HashKVRequest{Revision: 2})
	require.NoError(t, err)
	assert.NotEqual(t, h1.Hash, h2.Hash)
	assert.Equal(t, h1.Hash, old.Hash)
	_, err = mc.MoveLeader(testContext(t), &pb.MoveLeaderRequest{TargetID: 1})
	assert.Equal(t, rpctypes.ErrBadLeaderTransferee, rpctypes.Error(err))
	_, err = mc.Defragment(testContext(t), &pb.DefragmentRequest{})
	require.NoError(t, err)
	_, err = mc.Hash(testContext(t), &pb.HashRequest{})
	require.NoError(t, err)
	_, err = mc.Downgrade(testContext(t), &pb.DowngradeRequest{})
	require.NoError(t, err)
}

func TestSnapshot(t *testing.T) {
	s := Start(t)
	ss, err := pb.NewMaintenanceClient(dial(t, s)).Snapshot(testContext(t), &pb.SnapshotRequest{})
	require.NoError(t, err)
	var got bytes.Buffer
	total := len(s.Snapshot())
	for {
		part, err := ss.Recv()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		got.Write(part.Blob)
		assert.Equal(t, total-got.Len() > 0, part.RemainingBytes > 0)
		assert.Equal(t, version.Version, part.Version)
	}
	data := got.Bytes()
	assert.Equal(t, sha256.Size, len(data)%512)
	sum := sha256.Sum256(data[:len(data)-sha256.Size])
	assert.Equal(t, sum[:], data[len(data)-sha256.Size:])
}

func TestTokens(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	ac, kv := pb.NewAuthClient(conn), pb.NewKVClient(conn)
	_, err := ac.Authenticate(testContext(t), &pb.AuthenticateRequest{Name: "u", Password: "p"})
	assert.Equal(t, rpctypes.ErrAuthNotEnabled, rpctypes.Error(err))
	s.EnableAuth("u", "p")
	_, err = ac.Authenticate(testContext(t), &pb.AuthenticateRequest{Name: "u", Password: "x"})
	assert.Equal(t, rpctypes.ErrAuthFailed, rpctypes.Error(err))
	auth, err := ac.Authenticate(testContext(t), &pb.AuthenticateRequest{Name: "u", Password: "p"})
	require.NoError(t, err)
	get := func(token string) error {
		ctx := testContext(t)
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, rpctypes.TokenFieldNameGRPC, token)
		}
		_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("a")})
		return rpctypes.Error(err)
	}
	assert.Equal(t, rpctypes.ErrUserEmpty, get(""))
	assert.Equal(t, rpctypes.ErrInvalidAuthToken, get("no token"))
	require.NoError(t, get(auth.Token))
	s.ExpireTokens(rpctypes.ErrGRPCAuthOldRevision)
	assert.Equal(t, rpctypes.ErrAuthOldRevision, get(auth.Token))
	s.ExpireTokens(nil)
	assert.Equal(t, rpctypes.ErrInvalidAuthToken, get(auth.Token))

	resp := create(t, openWatch(t, conn), &pb.WatchCreateRequest{Key: []byte("a")})
	assert.True(t, resp.Canceled)
	assert.Contains(t, resp.CancelReason, "user name is empty")
	s.DisableAuth()
	require.NoError(t, get(""))
	assert.Equal(t, 3, s.Calls("Authenticate"))
}

func TestUsersAndRoles(t *testing.T) {
	ac := pb.NewAuthClient(dial(t, Start(t)))
	ctx := testContext(t)
	_, err := ac.AuthEnable(ctx, &pb.AuthEnableRequest{})
	assert.Equal(t, rpctypes.ErrRootUserNotExist, rpctypes.Error(err))
	_, err = ac.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "u", Password: "p"})
	require.NoError(t, err)
	_, err = ac.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "u"})
	assert.Equal(t, rpctypes.ErrUserAlreadyExist, rpctypes.Error(err))
	_, err = ac.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "r"})
	require.NoError(t, err)
	perm := &authpb.Permission{Key: []byte("k"), RangeEnd: []byte("l"),
		PermType: authpb.Permission_READ}
	_, err = ac.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "r", Perm: perm})
	require.NoError(t, err)
	role, err := ac.RoleGet(ctx, &pb.AuthRoleGetRequest{Role: "r"})
	require.NoError(t, err)
	assert.Len(t, role.Perm, 1)
	_, err = ac.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "u", Role: "r"})
	require.NoError(t, err)
	user, err := ac.UserGet(ctx, &pb.AuthUserGetRequest{Name: "u"})
	require.NoError(t, err)
	assert.Equal(t, []string{"r"}, user.Roles)
	_, err = ac.RoleRevokePermission(ctx, &pb.AuthRoleRevokePermissionRequest{Role: "r",
		Key: perm.Key, RangeEnd: perm.RangeEnd})
	require.NoError(t, err)
	_, err = ac.UserRevokeRole(ctx, &pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"})
	require.NoError(t, err)
	_, err = ac.UserRevokeRole(ctx, &pb.AuthUserRevokeRoleRequest{Name: "u", Role: "r"})
	assert.Equal(t, rpctypes.ErrRoleNotGranted, rpctypes.Error(err))
	_, err = ac.UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: "u", Password: "q"})
	require.NoError(t, err)
	roles, err := ac.RoleList(ctx, &pb.AuthRoleListRequest{})
	require.NoError(t, err)
	assert.Equal(t, []string{"r"}, roles.Roles)
	_, err = ac.RoleDelete(ctx, &pb.AuthRoleDeleteRequest{Role: "r"})
	require.NoError(t, err)
	_, err = ac.UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: "u"})
	require.NoError(t, err)
	users, err := ac.UserList(ctx, &pb.AuthUserListRequest{})
	require.NoError(t, err)
	assert.Empty(t, users.Users)
	st, err := ac.AuthStatus(ctx, &pb.AuthStatusRequest{})
	require.NoError(t, err)
	assert.False(t, st.Enabled)
	_, err = ac.AuthDisable(ctx, &pb.AuthDisableRequest{})
	require.NoError(t, err)
}
