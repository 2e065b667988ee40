package client_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// follower is a member that does not lead: what a leader had been sent when it was removed would be
// lost with it.
func follower(cluster *etcdtest.Cluster) *etcdtest.Member {
	leader := cluster.Leader()
	return cluster.Members()[slices.IndexFunc(cluster.Members(), func(m *etcdtest.Member) bool {
		return m != leader
	})]
}

// drain waits until the member has had no put under way for some time.
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
	}, 10*time.Second, 10*time.Millisecond)
}

// A member is replaced while a client puts: a learner joins and is promoted, the client learns the
// new endpoints and leaves the old member, which is removed. No put fails.
func TestMemberIsReplacedWhileAClientPuts(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3), etcdtest.WithExtensiveMetrics())
	admin, client := testclient.Open(t, cluster), testclient.Open(t, cluster)
	ctx := t.Context()
	old := follower(cluster)
	puts := testclient.PutUntil(t, client, 20, func() {
		learner, err := cluster.AddMember(true)
		require.NoError(t, err)
		require.NoError(t, client.Sync(ctx))
		assert.ElementsMatch(t, cluster.Endpoints()[:3], client.Endpoints(), "R11: no learner")
		list, err := admin.MemberList(ctx)
		require.NoError(t, err)
		assert.True(t, memberWithID(list.Members, learner.ID()).IsLearner)

		require.Eventually(t, func() bool {
			_, err := admin.MemberPromote(ctx, learner.ID())
			if err != rpctypes.ErrMemberLearnerNotReady {
				require.NoError(t, err)
			}
			return err == nil
		}, 10*time.Second, 20*time.Millisecond)
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
	}, 10*time.Second, 20*time.Millisecond, "a removed member stops")
	got, err := client.Get(ctx, "after")
	require.NoError(t, err)
	assert.Len(t, got.Kvs, 1)
}
