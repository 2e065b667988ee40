package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// slowPages delays every page of a list.
func slowPages(cluster *etcdfake.Cluster) {
	cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
		if call.Request.(*pb.RangeRequest).Limit > 0 {
			return etcdfake.Delay(5 * time.Second)
		}
		return etcdfake.Pass()
	})
}

// TestADoubtedCopyIsNotFresh has the cache find that its copy is wrong, or older than a restore of
// the cluster. Reads that need a fresh copy then wait until the cache has listed its range again.
func TestADoubtedCopyIsNotFresh(t *testing.T) {
	for name, find := range map[string]func(*testing.T, *etcdfake.Cluster, *Cache){
		"an audit finds a wrong copy": func(t *testing.T, _ *etcdfake.Cluster, c *Cache) {
			mustPut(t, c.client, "a/k", "1")
			c.publish(func(next *view) {
				next.tree = next.tree.Set(&pair{Key: []byte("a/wrong"), ModRevision: 1})
			})
			_, err := c.Fresh(t.Context(), 0)
			require.NoError(t, err)
			require.NoError(t, c.auditOnce())
			require.EqualValues(t, 1, c.Status().Differences)
		},
		"a reader finds a restore": func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
			loseHistory(t, cluster, c)
			go func() { _, _ = c.Fresh(t.Context(), 0) }()
		},
		"a writer finds a restore": func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
			loseHistory(t, cluster, c)
			mustPut(t, c.KV(), "a/own", "1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				slowPages(cluster)
				find(t, cluster, c)
				synctest.Wait()
				require.True(t, c.listing())
				require.Zero(t, c.Snapshot().ProvenAt())
				require.Zero(t, c.Status().ProvenAt)
				atLeast := make(chan Snapshot)
				go func() {
					s, err := c.AtLeast(t.Context(), 1)
					require.NoError(t, err)
					atLeast <- s
				}()
				s, err := c.Fresh(t.Context(), time.Minute)
				require.NoError(t, err)
				require.Equal(t, cluster.Dump("a/"), contents(s))
				require.Equal(t, cluster.Dump("a/"), contents(<-atLeast))
			})
		})
	}
}

// TestAnAnswerProvesNothingOfADoubtedView shows which views (states of a cache) readers take after
// the server has answered how fresh a view must be. They do not take a view that the cache has
// found to be wrong.
func TestAnAnswerProvesNothingOfADoubtedView(t *testing.T) {
	a := answered{era: 1, revision: 5, proves: true}
	require.False(t, a.takenBy(&view{era: 1, revision: 4}))
	require.True(t, a.takenBy(&view{era: 1, revision: 5}))
	require.False(t, a.takenBy(&view{era: 1, revision: 5, doubted: true}))
	require.True(t, a.takenBy(&view{era: 2, revision: 1}))
}

// TestAtLeastOfADoubtedCopyWaitsForTheNextEra calls AtLeast while the cache lists its range again
// after a restore of the cluster. The old copy has passed the wanted revision, but AtLeast does not
// return it. AtLeast waits until the restored cluster reaches the revision, by writes outside of
// the range.
func TestAtLeastOfADoubtedCopyWaitsForTheNextEra(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		loseHistory(t, cluster, c)
		slowPages(cluster)
		go func() { _, _ = c.Fresh(t.Context(), 0) }()
		synctest.Wait()
		rev := cluster.Revision() + 20
		require.Less(t, rev, c.Snapshot().Revision())
		done := make(chan error)
		go func() {
			_, err := c.AtLeast(within(t, time.Hour), rev)
			done <- err
		}()
		time.Sleep(time.Minute)
		for range 20 {
			mustPut(t, cluster.Client(), "b", "outside of the range")
		}
		require.NoError(t, <-done)
	})
}

// TestTheFloorOfAWriteIsOfALaterEra has the cache replace its copy twice, as after restores of the
// cluster, between the request of a write and its answer. Later serializable reads must wait until
// the newest copy contains the write.
func TestTheFloorOfAWriteIsOfALaterEra(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mustPut(t, c.client, "a/k", "0")
		before, k := c.now(), c.KV().(*kv)
		for range 2 {
			v := c.now()
			c.replaced(v, "of the test")
			_, err := c.await(t.Context(), func(next *view) bool { return next.era > v.era })
			require.NoError(t, err)
		}
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		cluster.Member(0).Lag(time.Second)
		put, err := c.client.Put(t.Context(), "a/k", "1")
		require.NoError(t, err)
		k.wrote(before, put.Header)
		require.Equal(t, c.now().era, k.least().era)
		require.False(t, k.least().shownBy(c.now()))
	})
}
