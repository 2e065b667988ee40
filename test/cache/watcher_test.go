package cache_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestRandomWatchesDeliverWhatTheServerDelivers opens 400 watches with random options, each on a
// cache and on the server, and compares their events. Half of them are on a cache with a short
// history.
func TestRandomWatchesDeliverWhatTheServerDelivers(t *testing.T) {
	for name, history := range map[string]int64{"long": 64 << 20, "short": 3000} {
		t.Run(name+" history", func(t *testing.T) {
			client := testclient.Open(t, etcdtest.Start(t))
			r := rand.New(rand.NewPCG(1, uint64(history)))
			newest := func() int64 {
				resp, err := client.Get(t.Context(), "a", clientv3.WithCountOnly())
				require.NoError(t, err)
				return resp.Header.Revision
			}
			write := func(n int) {
				for range n {
					require.NoError(t, randomwatch.Write(t.Context(), r, client))
				}
			}
			write(40)
			watcher := synced(t, client, "a/", cache.WithHistory(history)).Watcher()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var pairs []*randomwatch.Pair
			for range 40 {
				for range 5 {
					p := randomwatch.New(r, newest())
					p.Open(ctx, client, watcher)
					pairs = append(pairs, p)
				}
				write(1 + r.IntN(8))
			}
			write(10)
			for _, p := range pairs {
				equal := func() bool { return p.Difference() == "" }
				testclient.Eventually(t, equal, "%v", difference{p})
			}
		})
	}
}

// difference computes the text of a failure only when it is printed.
type difference struct{ pair *randomwatch.Pair }

func (d difference) String() string { return d.pair.Difference() }
