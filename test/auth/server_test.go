package auth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// startAuth starts a cluster with authentication enabled. The user alice has the password "pw" and
// may read and write the keys that begin with "key".
func startAuth(t *testing.T, opts ...etcdtest.Option) *etcdtest.Cluster {
	t.Helper()
	cluster := etcdtest.Start(t, append(opts, etcdtest.WithArgs("--metrics=extensive"))...)
	require.NoError(t, cluster.AddRole("app", ofKeys))
	require.NoError(t, cluster.AddUser("alice", "pw", "app"))
	require.NoError(t, cluster.EnableAuth("rootpw"))
	return cluster
}

var ofKeys = &authpb.Permission{PermType: authpb.READWRITE, Key: []byte("key"),
	RangeEnd: []byte("kez")}

// logins returns the number of Authenticate requests that the members have handled.
func logins(t *testing.T, cluster *etcdtest.Cluster) int {
	t.Helper()
	total := 0.0
	for _, m := range cluster.Members() {
		all, err := m.Metrics()
		require.NoError(t, err)
		for name, value := range all {
			if strings.Contains(name, "grpc_server_handled_total") &&
				strings.Contains(name, `grpc_method="Authenticate"`) {
				total += value
			}
		}
	}
	return int(total)
}

// A thousand callers of an idle client, whose token has expired, cause one login.
func TestExpiryOfSimpleTokens(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	for _, members := range []int{1, 3} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			t.Parallel()
			const ttl = 2 * time.Second
			cluster := startAuth(t, etcdtest.WithMembers(members), etcdtest.WithAuthTTL(ttl))
			before := logins(t, cluster)
			client := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
			_, err := client.Put(t.Context(), "key", "v")
			require.NoError(t, err)
			// All members forget a token that is not used for so long.
			time.Sleep(ttl + 1500*time.Millisecond)
			atOnce := make(chan struct{})
			var callers sync.WaitGroup
			for i := range 1000 {
				callers.Go(func() {
					<-atOnce
					_, err := client.Put(t.Context(), fmt.Sprint("key", i), "v")
					assert.NoError(t, err)
				})
			}
			close(atOnce)
			callers.Wait()
			got := logins(t, cluster) - before
			t.Logf("%d logins", got)
			assert.Equal(t, 2, got, "one by New, one for the expiry")
		})
	}
}

// JWTs expire while a hundred callers send puts. No put fails, and each expiry causes one login at
// most.
func TestJWTExpiresUnderLoad(t *testing.T) {
	t.Parallel()
	const ttl = 2 * time.Second
	cluster := startAuth(t, etcdtest.WithMembers(3), etcdtest.WithJWT(ttl))
	before := logins(t, cluster)
	client := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
	start := time.Now()
	puts := testclient.PutUntil(t, client, 100, func() { time.Sleep(3 * ttl) })
	got, expiries := logins(t, cluster)-before, int(time.Since(start)/(ttl-time.Second))+1
	t.Logf("%d puts, %d logins, at most %d expiries", puts, got, expiries)
	assert.Greater(t, got, 2, "tokens did expire")
	assert.LessOrEqual(t, got, 1+expiries)
}

// Every change of users and roles makes earlier tokens invalid. No put fails because of it.
func TestAuthRevisionMovesUnderLoad(t *testing.T) {
	for name, opt := range map[string]etcdtest.Option{
		"simple": etcdtest.WithArgs("--auth-token=simple"),
		"jwt":    etcdtest.WithJWT(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			cluster := startAuth(t, opt)
			client := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
			testclient.PutUntil(t, client, 20, func() {
				changeRoles(t, testclient.Open(t, cluster, testclient.AsUser("root", "rootpw")))
			})
		})
	}
}

// changeRoles raises the revision of the auth store ten times.
func changeRoles(t *testing.T, root *clientv3.Client) {
	for i := range 10 {
		_, err := root.RoleAdd(t.Context(), fmt.Sprint("role", i))
		assert.NoError(t, err)
	}
}

// Users known by the common name of their certificate need no token, and changes of the auth store
// do not disturb them.
func TestUsersByCommonName(t *testing.T) {
	cluster := startAuth(t, etcdtest.WithMutualTLS(), etcdtest.WithClientCNs("bob"))
	require.NoError(t, cluster.AddUser("bob", "", "app"))
	before := logins(t, cluster)
	bob := testclient.Open(t, cluster, func(cfg *clientv3.Config) {
		cfg.TLS = cluster.ClientTLS("bob")
	})
	root := testclient.Open(t, cluster, func(cfg *clientv3.Config) {
		cfg.TLS = cluster.ClientTLS("root")
	})
	testclient.PutUntil(t, bob, 50, func() { changeRoles(t, root) })
	assert.Equal(t, before, logins(t, cluster))

	_, err := bob.Put(t.Context(), "other", "v")
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = bob.RoleList(t.Context())
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	_, err = root.RoleList(t.Context())
	assert.NoError(t, err)
	_, err = bob.Authenticate(t.Context(), "bob", "anything")
	assert.Error(t, err, "a user without password")
	stranger := testclient.Open(t, cluster) // "client" is no user
	_, err = stranger.Put(t.Context(), "key", "v")
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
}

func TestAuthSwitchedUnderLoad(t *testing.T) {
	cluster := startAuth(t, etcdtest.WithAuthTTL(time.Second))
	client := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
	testclient.PutUntil(t, client, 50, func() {
		require.NoError(t, cluster.DisableAuth())
		_, err := client.Put(t.Context(), "other", "v")
		assert.NoError(t, err, "permissions are not checked")
		require.NoError(t, cluster.EnableAuth("rootpw"))
		_, err = client.Put(t.Context(), "other", "v")
		assert.Equal(t, rpctypes.ErrPermissionDenied, err)
	})
}

func TestStatusOfEveryMemberThenPut(t *testing.T) {
	cluster := startAuth(t, etcdtest.WithMembers(3))
	client := testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))
	before := logins(t, cluster)
	for _, ep := range cluster.Endpoints() {
		_, err := client.Status(t.Context(), ep)
		assert.NoError(t, err)
		_, err = client.Put(t.Context(), "key", "v")
		assert.NoError(t, err)
	}
	assert.Equal(t, before, logins(t, cluster))
}

// TestStaticJWT: a client with Config.Token sends the token and never logs in, not even when the
// token has expired.
func TestStaticJWT(t *testing.T) {
	t.Parallel()
	cluster := startAuth(t, etcdtest.WithJWT(4*time.Second))
	login, err := testclient.Open(t, cluster).Authenticate(t.Context(), "alice", "pw")
	require.NoError(t, err)
	before := logins(t, cluster)
	client := testclient.Open(t, cluster, func(cfg *clientv3.Config) { cfg.Token = login.Token })
	_, err = client.Put(t.Context(), "key", "v")
	assert.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = client.Put(t.Context(), "key", "v")
		return err != nil
	}, time.Minute, 50*time.Millisecond)
	assert.Equal(t, rpctypes.ErrInvalidAuthToken, err)
	assert.Equal(t, before, logins(t, cluster))
}
