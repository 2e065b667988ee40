package client_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestMaintenanceOfOneMember calls HashKV, Status and Defragment once for each member.
func TestMaintenanceOfOneMember(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	client := testclient.Open(t, cluster)
	ctx := t.Context()
	put, err := clientv3.RetryKVClient(client).Put(ctx,
		&pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	require.NoError(t, err)
	rev := put.Header.Revision

	leader := cluster.Leader().ID()
	hashes := map[uint32]bool{}
	for _, m := range cluster.Members() {
		// A member that lags behind answers ErrFutureRev until it has caught up.
		var hash *clientv3.HashKVResponse
		require.Eventually(t, func() bool {
			hash, err = client.HashKV(ctx, m.Endpoint(), rev)
			return err != rpctypes.ErrFutureRev
		}, time.Minute, 10*time.Millisecond)
		require.NoError(t, err)
		assert.Equal(t, rev, hash.HashRevision)
		hashes[hash.Hash] = true

		status, err := client.Status(ctx, m.Endpoint())
		require.NoError(t, err)
		assert.Equal(t, m.ID(), status.Header.MemberId, "the member that was asked")
		assert.Equal(t, leader, status.Leader)
		assert.Equal(t, "3.7.3", status.Version)
		assert.Positive(t, status.DbSize)
		assert.NotZero(t, status.RaftTerm)
		assert.False(t, status.IsLearner)
		assert.Empty(t, status.Errors)

		defrag, err := client.Defragment(ctx, m.Endpoint())
		require.NoError(t, err)
		assert.NotNil(t, defrag)
	}
	assert.Len(t, hashes, 1, "all members have one history")
	_, err = client.HashKV(ctx, cluster.Endpoints()[0], rev+1000)
	assert.Equal(t, rpctypes.ErrFutureRev, err)
	assert.Equal(t, cluster.Endpoints(), client.Endpoints())

	for _, ep := range []string{"", "http://", "ftp://127.0.0.1:1"} {
		_, err = client.Status(ctx, ep)
		assert.Error(t, err, ep)
	}
}

func TestMoveLeader(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	ctx := t.Context()
	leader := cluster.Leader()
	only := func(m *etcdtest.Member) func(*clientv3.Config) {
		return func(cfg *clientv3.Config) { cfg.Endpoints = []string{m.Endpoint()} }
	}
	var follower *etcdtest.Member
	for _, m := range cluster.Members() {
		if m != leader {
			follower = m
		}
	}
	_, err := testclient.Open(t, cluster, only(follower)).MoveLeader(ctx, follower.ID())
	assert.Equal(t, rpctypes.ErrNotLeader, err)
	client := testclient.Open(t, cluster, only(leader))
	_, err = client.MoveLeader(ctx, 12345)
	assert.Equal(t, rpctypes.ErrBadLeaderTransferee, err)
	moved, err := client.MoveLeader(ctx, follower.ID())
	require.NoError(t, err)
	assert.NotNil(t, moved)
	require.Eventually(t, func() bool {
		return cluster.Leader().ID() == follower.ID()
	}, time.Minute, 10*time.Millisecond)
}

func TestAlarms(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	ctx := t.Context()
	stub, id := pb.NewMaintenanceClient(cluster.Pb(t)), cluster.Members()[0].ID()
	raise := func(alarms ...pb.AlarmType) {
		for _, a := range alarms {
			_, err := stub.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE,
				MemberID: id, Alarm: a})
			require.NoError(t, err)
		}
	}
	listed := func() (types []pb.AlarmType) {
		resp, err := client.AlarmList(ctx)
		require.NoError(t, err)
		for _, a := range resp.Alarms {
			assert.Equal(t, id, a.MemberID)
			types = append(types, a.Alarm)
		}
		return types
	}

	assert.Empty(t, listed())
	none, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	require.NoError(t, err)
	assert.Empty(t, none.Alarms)
	assert.NotNil(t, none.Header)

	raise(pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT)
	assert.ElementsMatch(t, []pb.AlarmType{pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT}, listed())
	one, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: id,
		Alarm: pb.AlarmType_NOSPACE})
	require.NoError(t, err)
	require.Len(t, one.Alarms, 1)
	assert.Equal(t, pb.AlarmType_NOSPACE, one.Alarms[0].Alarm)
	assert.Equal(t, []pb.AlarmType{pb.AlarmType_CORRUPT}, listed())

	raise(pb.AlarmType_NOSPACE)
	all, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	require.NoError(t, err)
	assert.Len(t, all.Alarms, 2)
	assert.NotNil(t, all.Header)
	assert.Empty(t, listed())

	_, err = client.AlarmDisarm(ctx, nil)
	assert.ErrorContains(t, err, "nil")
}

func TestAlarmDisarmStopsAtAnError(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	stub := pb.NewMaintenanceClient(client.ActiveConnection())
	for id := range uint64(3) {
		_, err := stub.Alarm(t.Context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE,
			MemberID: id + 1, Alarm: pb.AlarmType_CORRUPT})
		require.NoError(t, err)
	}
	before := fake.Calls("Alarm")
	fake.Fail("Alarm", 1, rpctypes.ErrGRPCPermissionDenied)
	_, err := client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	assert.Equal(t, before+1, fake.Calls("Alarm"))
	all, err := client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
	require.NoError(t, err)
	assert.Len(t, all.Alarms, 3)
}

func TestDowngrade(t *testing.T) {
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	ctx := t.Context()
	valid, err := client.Downgrade(ctx, clientv3.DowngradeValidate, "3.6.0")
	require.NoError(t, err)
	assert.Equal(t, "3.7", valid.Version, "the cluster's")
	_, err = client.Downgrade(ctx, clientv3.DowngradeValidate, "3.5.0")
	assert.Equal(t, rpctypes.ErrInvalidDowngradeTargetVersion, err)
	_, err = client.Downgrade(ctx, clientv3.DowngradeValidate, "three")
	assert.Equal(t, rpctypes.ErrWrongDowngradeVersionFormat, err)
	_, err = client.Downgrade(ctx, clientv3.DowngradeCancel, "")
	assert.NoError(t, err)

	_, err = client.Downgrade(ctx, clientv3.DowngradeEnable, "3.6.0")
	require.NoError(t, err)
	_, err = client.Downgrade(ctx, clientv3.DowngradeEnable, "3.6.0")
	assert.Equal(t, rpctypes.ErrDowngradeInProcess, err)
	status, err := client.Status(ctx, cluster.Endpoints()[0])
	require.NoError(t, err)
	assert.True(t, status.DowngradeInfo.GetEnabled())
	assert.Equal(t, "3.6.0", status.DowngradeInfo.GetTargetVersion())
	_, err = client.Downgrade(ctx, clientv3.DowngradeCancel, "")
	assert.NoError(t, err)

	_, err = client.Downgrade(ctx, clientv3.DowngradeAction(9), "3.6.0")
	assert.ErrorContains(t, err, "unknown downgrade action 9")
}

// TestFromClientsWithoutClient shows that the constructors for a server in the same process need no
// client, and that their requests go to that server whatever endpoint is given.
func TestFromClientsWithoutClient(t *testing.T) {
	fake := etcdfake.Start(t)
	conn := testclient.OpenFake(t, fake).ActiveConnection()
	ctx := t.Context()

	m := clientv3.NewMaintenanceFromMaintenanceClient(pb.NewMaintenanceClient(conn), nil)
	status, err := m.Status(ctx, "anything")
	require.NoError(t, err)
	assert.NotZero(t, status.Leader)
	_, err = m.HashKV(ctx, "", 0)
	assert.NoError(t, err)
	_, err = m.Defragment(ctx, "")
	assert.NoError(t, err)
	snapshot, err := m.SnapshotWithVersion(ctx)
	require.NoError(t, err)
	assert.NoError(t, snapshot.Snapshot.Close())

	list, err := clientv3.NewClusterFromClusterClient(pb.NewClusterClient(conn),
		nil).MemberList(ctx)
	require.NoError(t, err)
	assert.Len(t, list.Members, 1)
	auth, err := clientv3.NewAuthFromAuthClient(pb.NewAuthClient(conn), nil).AuthStatus(ctx)
	require.NoError(t, err)
	assert.False(t, auth.Enabled)
}

func TestClientWithoutConnectionRefuses(t *testing.T) {
	client := clientv3.NewCtxClient(t.Context())
	ctx := t.Context()
	_, err := client.Status(ctx, "127.0.0.1:1")
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	_, err = client.Snapshot(ctx)
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	_, err = client.MemberList(ctx)
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
	_, err = client.AuthStatus(ctx)
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, err)
}
