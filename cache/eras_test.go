package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// loseHistory leaves the cache as it is right after its cluster was restored with its id: 100
// revisions ahead of the server, and with another value of a key. No watch shows that.
func loseHistory(t *testing.T, cluster *etcdfake.Cluster, c *Cache, key string) {
	t.Helper()
	mustPut(t, c.client, key, "restored")
	_, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	c.publish(func(next *view) {
		next.tree = copyTree(next.tree)
		old, _ := next.tree.Get(key)
		next.tree.Set(key, &pair{Key: old.Key, Value: []byte("lost"), Version: 9,
			CreateRevision: old.CreateRevision, ModRevision: old.ModRevision + 50})
		next.revision += 100
	})
	require.Less(t, cluster.Revision(), c.Snapshot().Revision())
}

// TestUpdateEndsAfterARestore has the transaction of an Update be the first request that a restored
// cluster answers, with a conflict, and without one.
func TestUpdateEndsAfterARestore(t *testing.T) {
	for name, row := range map[string]struct {
		read     string
		attempts int
	}{
		"a conflict": {"a/k", 2}, "a commit": {"a/none", 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				loseHistory(t, cluster, c, "a/k")
				start, attempts := time.Now(), 0
				rev, err := c.Update(t.Context(), func(tx *Tx) error {
					attempts++
					tx.Get(row.read)
					tx.Put("a/n", "1")
					return nil
				})
				require.NoError(t, err)
				require.Equal(t, row.attempts, attempts)
				require.Less(t, time.Since(start), 10*time.Second)
				require.Equal(t, cluster.Revision(), rev)
				require.Equal(t, rev, c.Snapshot().Revision())
				require.Equal(t, map[string]string{"a/k": "restored", "a/n": "1"},
					contents(c.Snapshot()))
			})
		})
	}
}
