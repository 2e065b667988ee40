package cache_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// throughProxy returns a client of etcd's grpc-proxy of a member. Both end with the test.
func throughProxy(
	t *testing.T, member *etcdtest.Member, opts ...grpc.DialOption,
) *clientv3.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	log, err := os.Create(filepath.Join(t.TempDir(), "proxy.log"))
	require.NoError(t, err)
	cmd := exec.Command(etcdtest.Binary(t), "grpc-proxy", "start",
		"--endpoints="+member.Address(), "--listen-addr="+addr, "--advertise-client-url="+addr)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	return testclient.New(t, clientv3.Config{Endpoints: []string{addr}, DialOptions: opts})
}

// TestCacheWorksThroughEtcdsProxy shows that snapshots, Fresh, Changes and watches of a cache work
// through etcd's grpc-proxy. The proxy does not answer progress requests as a server does.
func TestCacheWorksThroughEtcdsProxy(t *testing.T) {
	cluster := etcdtest.Start(t)
	direct := testclient.Open(t, cluster)
	put := func(key, value string) int64 {
		resp, err := direct.Put(t.Context(), key, value)
		require.NoError(t, err)
		return resp.Header.Revision
	}
	put("p/1", "before")
	c := synced(t, throughProxy(t, cluster.Members()[0]), "p/")
	watcher := c.Watcher()
	fromNow := watcher.Watch(t.Context(), "p/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	for _, value := range []string{"a", "b", "c"} {
		rev := put("p/1", value)
		put("elsewhere", value)
		requireFresh(t, c, "p/1", value)
		resp := <-fromNow
		require.NoError(t, resp.Err())
		require.Equal(t, rev, resp.Events[0].Kv.ModRevision)
		require.NotNil(t, resp.Events[0].PrevKv)
	}
	for batch, err := range c.Changes(t.Context()) {
		require.NoError(t, err)
		require.True(t, batch.Full)
		require.Len(t, batch.Changes, 1)
		break
	}
	past := watcher.Watch(t.Context(), "p/1", clientv3.WithRev(2))
	resp := <-past
	require.NoError(t, resp.Err())
	require.Equal(t, "before", string(resp.Events[0].Kv.Value))
	require.NoError(t, watcher.Close())
}

// requireFresh requires that a linearizable snapshot has the key with the value.
func requireFresh(t *testing.T, c *cache.Cache, key, value string) {
	t.Helper()
	s, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	kv, ok := s.Get(key)
	require.True(t, ok)
	require.Equal(t, value, string(kv.Value))
}
