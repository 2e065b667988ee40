package clientv3_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

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
