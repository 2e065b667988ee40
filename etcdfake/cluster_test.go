package etcdfake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// A client renews a lease for a virtual day. After that the lease expires at the time that
// Cluster.Leases reports.
func TestLeaseIsRenewedForADay(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		lease, err := client.Grant(t.Context(), 60)
		require.NoError(t, err)
		mustPut(t, client, "k", "v", clientv3.WithLease(lease.ID))
		keeper := c.Client()
		ctx := within(t, 24*time.Hour)
		alive, err := keeper.KeepAlive(ctx, lease.ID)
		require.NoError(t, err)
		for range alive {
		}
		require.Error(t, ctx.Err())
		require.NoError(t, keeper.Close())
		assert.Greater(t, c.Calls("LeaseKeepAlive"), 4000)
		assert.Equal(t, []string{"k"}, c.Leases()[0].Keys)
		time.Sleep(time.Until(c.Leases()[0].Expiry))
		synctest.Wait()
		assert.Empty(t, c.Leases())
		assert.Empty(t, c.Dump(""))
	})
}

func TestUsersHavePermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, etcdfake.WithUsers(etcdfake.User{Name: "alice", Password: "pw",
			Permissions: []*authpb.Permission{{PermType: authpb.Permission_READWRITE,
				Key: []byte("a"), RangeEnd: []byte("b")}}}))
		alice := c.Client(login("alice", "pw"))
		mustPut(t, alice, "a1", "v")
		_, err := alice.Put(t.Context(), "b1", "v")
		require.Equal(t, rpctypes.ErrPermissionDenied, err)
		c.ExpireTokens()
		mustPut(t, alice, "a1", "v")
		mustPut(t, c.Client(login("root", "root")), "b1", "v")
		_, err = c.Client().Get(t.Context(), "a1")
		require.Equal(t, rpctypes.ErrUserEmpty, err)
	})
}

func login(name, password string) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Username, cfg.Password = name, password }
}

func TestQuotaRaisesTheAlarm(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		var err error
		for range 1000 {
			if _, err = client.Put(t.Context(), "k", string(make([]byte, 1024))); err != nil {
				break
			}
		}
		require.Equal(t, rpctypes.ErrNoSpace, err)
		alarms, err := client.AlarmList(t.Context())
		require.NoError(t, err)
		require.Len(t, alarms.Alarms, 1)
		c.Compact(c.Revision())
		_, err = client.Put(t.Context(), "k", "v")
		require.Equal(t, rpctypes.ErrNoSpace, err)
		_, err = client.AlarmDisarm(t.Context(), &clientv3.AlarmMember{})
		require.NoError(t, err)
		mustPut(t, client, "k", "v")
	}, etcdfake.WithQuota(200_000))
}

func TestOldServerHasNoRangeStream(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *etcdfake.Cluster, client *clientv3.Client) {
		s, err := client.Status(t.Context(), client.Endpoints()[0])
		require.NoError(t, err)
		assert.Equal(t, "3.5.9", s.Version)
		stream, err := pb.NewKVClient(client.ActiveConnection()).RangeStream(t.Context(),
			&pb.RangeRequest{Key: []byte("k")})
		require.NoError(t, err)
		_, err = stream.Recv()
		assert.Equal(t, codes.Unimplemented, status.Code(err))
	}, etcdfake.WithVersion("3.5.9"))
}

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, etcdfake.WithUsers(), etcdfake.WithTokenTTL(time.Minute),
			etcdfake.WithUsers(etcdfake.User{Name: "root", Password: "pw"}))
		client := c.Client(login("root", "pw"))
		mustPut(t, client, "k", "v")
		logins := c.Calls("Authenticate")
		time.Sleep(time.Hour)
		mustPut(t, client, "k", "v")
		assert.Greater(t, c.Calls("Authenticate"), logins)
	})
}

func TestRevokeAndCompact(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		lease, err := client.Grant(t.Context(), 60)
		require.NoError(t, err)
		mustPut(t, client, "k", "v", clientv3.WithLease(lease.ID))
		c.Revoke(lease.ID)
		assert.Empty(t, c.Dump(""))
		c.Compact(3)
		_, err = client.Get(t.Context(), "k", clientv3.WithRev(2))
		assert.Equal(t, rpctypes.ErrCompacted, err)
	})
}
