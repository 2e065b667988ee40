package client_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestMemberURLsAreCheckedBeforeTheRequest(t *testing.T) {
	fake := etcdfake.New(t)
	client := testclient.New(t, clientv3.Config{Endpoints: []string{fake.Listen()}})
	ctx := t.Context()
	for _, urls := range [][]string{nil, {"nourl"}, {"http://127.0.0.1"},
		{"http://127.0.0.1:1", "ftp://127.0.0.1:1"}} {
		_, err := client.MemberAdd(ctx, urls)
		assert.Error(t, err, urls)
		_, err = client.MemberAddAsLearner(ctx, urls)
		assert.Error(t, err, urls)
		_, err = client.MemberUpdate(ctx, 1, urls)
		assert.Error(t, err, urls)
	}
	_, err := client.MemberAdd(ctx, []string{"nourl"})
	assert.ErrorContains(t, err, "nourl")
	assert.Zero(t, fake.Calls("MemberAdd")+fake.Calls("MemberUpdate"))
}

func TestMemberListIsLinearizableUnlessSerializable(t *testing.T) {
	fake := etcdfake.New(t)
	client := testclient.New(t, clientv3.Config{Endpoints: []string{fake.Listen()}})
	for _, tc := range []struct {
		opts []clientv3.OpOption
		want bool
	}{
		{nil, true},
		{[]clientv3.OpOption{clientv3.WithSerializable()}, false},
	} {
		list, err := client.MemberList(t.Context(), tc.opts...)
		require.NoError(t, err)
		assert.Len(t, list.Members, 1)
		requests := fake.Requests()
		last := requests[len(requests)-1].Message
		assert.Equal(t, tc.want, last.(*pb.MemberListRequest).Linearizable)
	}
}

// TestClusterMethods calls each method of Cluster, and provokes the errors that its documentation
// names.
func TestClusterMethods(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	client := testclient.Open(t, cluster)
	ctx := t.Context()

	list, err := client.MemberList(ctx)
	require.NoError(t, err)
	require.Len(t, list.Members, 3)
	for _, m := range cluster.Members() {
		assert.Contains(t, list.Members, memberWithID(list.Members, m.ID()))
	}

	learner := "http://127.0.0.1:1"
	added, err := client.MemberAddAsLearner(ctx, []string{learner})
	require.NoError(t, err)
	require.Len(t, added.Members, 4)
	id := added.Member.ID
	assert.True(t, memberWithID(added.Members, id).IsLearner)
	_, err = client.MemberAdd(ctx, []string{learner, "http://127.0.0.1:4"})
	assert.Equal(t, rpctypes.ErrPeerURLExist, err)
	_, err = client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:3"})
	assert.Equal(t, rpctypes.ErrTooManyLearners, err)
	_, err = client.MemberPromote(ctx, id)
	assert.Equal(t, rpctypes.ErrMemberLearnerNotReady, err, "it was never started")
	_, err = client.MemberPromote(ctx, cluster.Members()[0].ID())
	assert.Equal(t, rpctypes.ErrMemberNotLearner, err)

	moved := "http://127.0.0.1:2"
	updated, err := client.MemberUpdate(ctx, id, []string{moved})
	require.NoError(t, err)
	assert.Equal(t, []string{moved}, memberWithID(updated.Members, id).PeerURLs)

	removed, err := client.MemberRemove(ctx, id)
	require.NoError(t, err)
	assert.Len(t, removed.Members, 3)
	_, err = client.MemberRemove(ctx, id)
	assert.Equal(t, rpctypes.ErrMemberNotFound, err)
	_, err = client.MemberUpdate(ctx, 1, []string{moved})
	assert.Equal(t, rpctypes.ErrMemberNotFound, err)
	_, err = client.MemberPromote(ctx, 1)
	assert.Equal(t, rpctypes.ErrMemberNotFound, err)

	voter, err := client.MemberAdd(ctx, []string{"http://127.0.0.1:5"})
	require.NoError(t, err)
	assert.False(t, voter.Member.IsLearner)
	_, err = client.MemberRemove(ctx, voter.Member.ID)
	assert.NoError(t, err)
}

func memberWithID(members []*pb.Member, id uint64) *pb.Member {
	for _, m := range members {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// follower returns a member that does not lead. The test cannot remove a leader without failed
// puts: a removed leader loses requests that it has not yet committed.
func follower(cluster *etcdtest.Cluster) *etcdtest.Member {
	leader := cluster.Leader()
	return cluster.Members()[slices.IndexFunc(cluster.Members(), func(m *etcdtest.Member) bool {
		return m != leader
	})]
}

// drain waits until the member has no put under way, three times in a row.
func drain(t *testing.T, m *etcdtest.Member) {
	t.Helper()
	idle := 0
	require.Eventually(t, func() bool {
		open, err := m.OpenStreams("Put")
		require.NoError(t, err)
		if idle++; open > 0 {
			idle = 0
		}
		return idle == 3
	}, time.Minute, 10*time.Millisecond)
}

// TestMemberIsReplacedWhileAClientPuts adds a learner, promotes it and removes another member,
// while a client sends puts. The client learns the new endpoints before the old member is removed.
// No put fails.
func TestMemberIsReplacedWhileAClientPuts(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3), etcdtest.WithArgs("--metrics=extensive"))
	admin, client := testclient.Open(t, cluster), testclient.Open(t, cluster)
	ctx := t.Context()
	old := follower(cluster)
	puts := testclient.PutUntil(t, client, 20, func() {
		learner, err := cluster.AddMember(true)
		require.NoError(t, err)
		require.NoError(t, client.Sync(ctx))
		assert.ElementsMatch(t, cluster.Endpoints()[:3], client.Endpoints(),
			"learners are no endpoints")
		list, err := admin.MemberList(ctx)
		require.NoError(t, err)
		assert.True(t, memberWithID(list.Members, learner.ID()).IsLearner)

		require.Eventually(t, func() bool {
			_, err := admin.MemberPromote(ctx, learner.ID())
			if err != rpctypes.ErrMemberLearnerNotReady {
				require.NoError(t, err)
			}
			return err == nil
		}, time.Minute, 20*time.Millisecond)
		require.NoError(t, client.Sync(ctx))
		assert.ElementsMatch(t, cluster.Endpoints(), client.Endpoints())

		rest := slices.DeleteFunc(cluster.Endpoints(), func(ep string) bool {
			return ep == old.Endpoint()
		})
		client.SetEndpoints(rest...)
		admin.SetEndpoints(rest...)
		drain(t, old)
		removed, err := admin.MemberRemove(ctx, old.ID())
		require.NoError(t, err)
		assert.Len(t, removed.Members, 3)
		require.NoError(t, client.Sync(ctx))
		assert.ElementsMatch(t, rest, client.Endpoints())
		_, err = client.Put(ctx, "after", "v")
		assert.NoError(t, err)
	})
	t.Logf("%d puts", puts)
	require.Eventually(t, func() bool {
		return !old.Running()
	}, time.Minute, 20*time.Millisecond, "a removed member stops")
	got, err := client.Get(ctx, "after")
	require.NoError(t, err)
	assert.Len(t, got.Kvs, 1)
}
