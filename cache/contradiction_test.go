package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/etcdfake"
)

// spoil makes the cache's copy of a/n wrong, as if the watch had missed a change of the key. No
// audit, which compares numbers of keys only, sees that.
func spoil(t *testing.T, c *Cache) {
	t.Helper()
	mustPut(t, c.client, "a/n", "1")
	_, err := c.AtLeast(t.Context(), mustPut(t, c.client, "a/n", "2"))
	require.NoError(t, err)
	c.publish(func(next *view) {
		old := next.tree.Get("a/n")
		next.tree = next.tree.Set(&pair{Key: old.Key, Value: []byte("1"), Version: 1,
			CreateRevision: old.CreateRevision, ModRevision: old.CreateRevision})
	})
}

// TestAConflictShowsThatTheCopyIsWrong has Update read a copy that has missed a change. The server
// refuses the transaction, so the cache finds that its copy is wrong, lists again, and Update
// succeeds.
func TestAConflictShowsThatTheCopyIsWrong(t *testing.T) {
	for name, others := range map[string]int{"at the same revision": 0, "at a later revision": 5} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				spoil(t, c)
				for range others {
					mustPut(t, c.client, "b", "outside of the range")
				}
				start := time.Now()
				_, err := c.Update(t.Context(), increment)
				require.NoError(t, err)
				require.Equal(t, "3", cluster.Dump("a/")["a/n"])
				require.Less(t, time.Since(start), 5*time.Second)
				s := c.Status()
				require.EqualValues(t, 1, s.Differences)
				require.EqualValues(t, 2, s.Lists)
				require.Equal(t, 2, cluster.Calls("Txn"))
			})
		})
	}
}

// TestAConflictThatHasPassedIsNoContradiction has another client create a key that Update has read
// as missing, and delete it after the server has refused the transaction. The cache does not take
// this conflict for an error of its copy, and Update runs again.
func TestAConflictThatHasPassedIsNoContradiction(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		other := cluster.Client()
		attempts := 0
		cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Edit(func(resp *pb.TxnResponse) {
				if resp.Succeeded {
					return
				}
				deleted, err := other.Delete(t.Context(), "a/d")
				require.NoError(t, err)
				_, err = c.AtLeast(t.Context(), deleted.Header.Revision)
				require.NoError(t, err)
			})
		})
		_, err := c.Update(t.Context(), func(tx *Tx) error {
			tx.Get("a/d")
			tx.Put("a/n", "1")
			if attempts++; attempts == 1 {
				mustPut(t, other, "a/d", "")
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 2, attempts)
		require.EqualValues(t, 1, c.Status().Lists)
	})
}
