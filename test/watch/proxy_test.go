package watch_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// startProxy runs etcd's grpc-proxy in front of a member. The proxy listens at addr, and runs until
// the function kill is called or the test ends.
func startProxy(t *testing.T, member *etcdtest.Member, addr string) (kill func()) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "proxy.log"))
	require.NoError(t, err)
	cmd := exec.Command(etcdtest.Binary(t), "grpc-proxy", "start",
		"--endpoints="+member.Address(), "--listen-addr="+addr, "--advertise-client-url="+addr)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	kill = func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = log.Close()
		}
	}
	t.Cleanup(kill)
	return kill
}

// TestResumeThroughAProxy: etcd's grpc-proxy chooses watch ids itself and confirms watches in any
// order. Each of many watches through it gets its own events, also after the proxy was away.
func TestResumeThroughAProxy(t *testing.T) {
	const watches = 100
	cluster := shared.Cluster()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())

	kill := startProxy(t, cluster.Members()[0], addr)
	c, direct := newClient(t, addr), testclient.Open(t, cluster)
	chans := openWatches(t.Context(), c, watches)
	requireOwnEvents(t, direct, chans, "first")
	kill()
	for i := range chans {
		put(t, direct, fmt.Sprintf("w/%d", i), "meanwhile")
	}
	startProxy(t, cluster.Members()[0], addr)
	for i, ch := range chans {
		wr := nextResponse(t, ch)
		require.NoError(t, wr.Err())
		require.Equal(t, fmt.Sprintf("w/%d=meanwhile", i),
			fmt.Sprintf("%s=%s", wr.Events[0].Kv.Key, wr.Events[0].Kv.Value))
	}
	requireOwnEvents(t, direct, chans, "last")
	// a request that the proxy does not know breaks nothing
	require.NoError(t, c.RequestProgress(t.Context()))
	requireOwnEvents(t, direct, chans, "after all")
	select {
	case wr := <-chans[0]:
		assert.Fail(t, "another response", "%+v", wr)
	case <-time.After(10 * time.Millisecond):
	}
}

// requireOwnEvents puts each of the keys, and requires that each channel gets the event of its key.
func requireOwnEvents(t *testing.T, c *clientv3.Client, chans []clientv3.WatchChan, value string) {
	t.Helper()
	for i, ch := range chans {
		rev := put(t, c, fmt.Sprintf("w/%d", i), value)
		require.Equal(t, fmt.Sprintf("PUT w/%d=%s@%d", i, value, rev), nextEvent(t, ch))
	}
}
