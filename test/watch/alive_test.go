package watch_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestIdleWatchBesideAFarFutureOneOutlivesACompaction: a watch from a revision far ahead does not
// keep its siblings from moving with the store.
func TestIdleWatchBesideAFarFutureOneOutlivesACompaction(t *testing.T) {
	for name, even := range map[string]bool{"with health": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			cluster := etcdtest.Start(t)
			c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(),
				SpreadEvenly: even})
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, c.Close()) })
			idle := c.Watch(t.Context(), "idle")
			future := c.Watch(t.Context(), "busy", clientv3.WithRev(1_000_000))
			var rev int64
			for range 100 {
				rev = put(t, c, "busy", "x")
			}
			awaitProgress(t, cluster.Members()[0])
			_, err = c.Compact(t.Context(), rev)
			require.NoError(t, err)
			require.NoError(t, cluster.Restart())
			rev = put(t, c, "idle", "2")
			wr := nextResponse(t, idle)
			require.NoError(t, wr.Err())
			require.Equal(t, rev, wr.Events[0].Kv.ModRevision)
			assert.Empty(t, future)
		})
	}
}

// awaitProgress waits until a server with idle watches has answered requests for progress, of which
// the client needs two in a row.
func awaitProgress(t *testing.T, m *etcdtest.Member) {
	t.Helper()
	sent := func() float64 {
		n, err := m.Metric("grpc_server_msg_sent_total", `"Watch"`)
		require.NoError(t, err)
		return n
	}
	before := sent()
	require.Eventually(t, func() bool { return sent() >= before+3 }, patience, 50*time.Millisecond)
}

// TestProxyIsNotAskedForProgress: etcd's gRPC proxy logs an error for each such request.
func TestProxyIsNotAskedForProgress(t *testing.T) {
	cluster := etcdtest.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	startProxy(t, cluster.Members()[0], addr)
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(t.TempDir()), "*", "proxy.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)

	c := newWatchClient(t, addr)
	events := c.Watch(t.Context(), "k")
	time.Sleep(8 * time.Second) // an idle member would be asked more than once
	put(t, c, "k", "v")
	wr := nextResponse(t, events)
	require.NoError(t, wr.Err())
	text, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	assert.Zero(t, strings.Count(string(text), "not supported request type"))
}

// maxStall is how long a watch may go without a change because its member is silent.
const maxStall = 4 * time.Second

// TestIdleWatchOnASilentMemberStallsFourSecondsAtMost has the member of an idle watch go silent
// right after it has shown that it is alive, with a change that it does not tell of.
func TestIdleWatchOnASilentMemberStallsFourSecondsAtMost(t *testing.T) {
	faults := map[string]faultnet.Direction{"blackhole": faultnet.Both,
		"one way": faultnet.ToClient}
	for fault, dir := range faults {
		for name, even := range map[string]bool{"health-aware": false, "evenly": true} {
			for kind, future := range map[string]bool{"alone": false,
				"beside a future watch": true} {
				t.Run(strings.Join([]string{fault, name, kind}, " "), func(t *testing.T) {
					t.Parallel()
					stallOnASilentMember(t, dir, even, future)
				})
			}
		}
	}
}

func stallOnASilentMember(t *testing.T, dir faultnet.Direction, even, future bool) {
	members := etcdfake.StartCluster(t, 2)
	proxies := make([]*faultnet.Proxy, len(members))
	var eps []string
	for i, m := range members {
		proxies[i] = faultnet.New(t, m.Addr())
		eps = append(eps, proxies[i].Addr())
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: eps, SpreadEvenly: even})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	writer := newWatchClient(t, members[0].Addr())
	watch := c.Watch(t.Context(), "key")
	if future {
		c.Watch(t.Context(), "other", clientv3.WithRev(1_000_000))
	}
	at := streamMember(t, members)
	asked := func() int { return progressRequests(members[at]) }
	began := asked()
	require.Eventually(t, func() bool {
		return asked() >= began+6
	}, 30*time.Second, time.Millisecond)
	start := lastHeard(t, proxies[at])
	proxies[at].Blackhole(dir)
	put(t, writer, "key", "value")
	wr := nextResponse(t, watch)
	require.NoError(t, wr.Err())
	require.Len(t, wr.Events, 1)
	stall := time.Since(start)
	t.Logf("stalled for %v", stall)
	assert.Less(t, stall, maxStall)
}

// lastHeard waits until nothing has come from a member for a moment, and returns when
// something did.
func lastHeard(t *testing.T, p *faultnet.Proxy) time.Time {
	t.Helper()
	bytes, at := p.Bytes(faultnet.ToClient), time.Now()
	require.Eventually(t, func() bool {
		if now := p.Bytes(faultnet.ToClient); now != bytes {
			bytes, at = now, time.Now()
		}
		return time.Since(at) > 50*time.Millisecond
	}, 5*time.Second, time.Millisecond)
	return at
}

// streamMember returns the member that has the watch stream.
func streamMember(t *testing.T, members []*etcdfake.Server) (at int) {
	t.Helper()
	require.Eventually(t, func() bool {
		for i, m := range members {
			if open, _ := m.Streams("Watch"); open > 0 {
				at = i
				return true
			}
		}
		return false
	}, 10*time.Second, time.Millisecond)
	return at
}

// progressRequests returns how often a member was asked for progress.
func progressRequests(m *etcdfake.Server) (n int) {
	for _, r := range etcdfake.RequestsOf[*pb.WatchRequest](m) {
		if r.GetProgressRequest() != nil {
			n++
		}
	}
	return n
}

// TestProgressBesideACompactedWatch: one watch of a stream ends by compaction. The server keeps
// that watch among those of the stream, as one that lags behind, until the client cancels it, and
// answers no request for progress meanwhile. The other watches still get progress.
func TestProgressBesideACompactedWatch(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	var rev int64
	for range 3 {
		rev = put(t, client, "k", "v")
	}
	_, err := client.Compact(t.Context(), rev)
	require.NoError(t, err)

	healthy := client.Watch(t.Context(), "k")
	compacted := client.Watch(t.Context(), "k", clientv3.WithRev(1))
	last := <-compacted
	require.ErrorIs(t, last.Err(), rpctypes.ErrCompacted)
	require.Eventually(t, func() bool {
		require.NoError(t, client.RequestProgress(t.Context()))
		select {
		case resp := <-healthy:
			require.True(t, resp.IsProgressNotify())
			return true
		default:
			return false
		}
	}, patience, time.Millisecond)
}
