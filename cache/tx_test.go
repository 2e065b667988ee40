package cache

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestTxShowsItsOwnWrites compares reads of a random Tx with a map, and the commit with it.
func TestTxShowsItsOwnWrites(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		key := func() string { return fmt.Sprintf("a/%02d", rnd.IntN(20)) }
		for range 200 {
			model := cluster.Dump("a/")
			_, err := c.Update(t.Context(), func(tx *Tx) error {
				for range 15 {
					k := key()
					switch rnd.IntN(5) {
					case 0:
						tx.Delete(k)
						delete(model, k)
					case 1, 2:
						model[k] = fmt.Sprint(rnd.Int())
						tx.Put(k, model[k])
					case 3:
						kv, ok := tx.Get(k)
						want, exists := model[k]
						require.Equal(t, exists, ok)
						require.Equal(t, want, string(kv.GetValue()))
					case 4:
						compareRange(t, tx, model, k, key(), rnd.IntN(25))
					}
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, model, cluster.Dump("a/"))
			require.Equal(t, model, contents(c.Snapshot()))
		}
	})
}

// compareRange reads some pairs of a range.
func compareRange(
	t *testing.T, tx *Tx, model map[string]string, from, to string, most int,
) {
	t.Helper()
	var want, got []string
	for _, k := range slices.Sorted(maps.Keys(model)) {
		if k >= from && k < to && len(want) < most {
			want = append(want, k+"="+model[k])
		}
	}
	for kv := range tx.Range(from, to) {
		if len(got) == most {
			break
		}
		got = append(got, string(kv.Key)+"="+string(kv.Value))
	}
	require.Equal(t, want, got)
}

// TestPutsOfATxTakeOptions keeps values and leases, also those of a put before.
func TestPutsOfATxTakeOptions(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		lease, err := c.client.Grant(t.Context(), 100)
		require.NoError(t, err)
		_, err = c.client.Put(t.Context(), "a/old", "kept", clientv3.WithLease(lease.ID))
		require.NoError(t, err)
		_, err = c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		_, err = c.Update(t.Context(), func(tx *Tx) error {
			tx.Put("a/old", "changed", clientv3.WithIgnoreLease())
			kv, _ := tx.Get("a/old")
			require.Equal(t, int64(lease.ID), kv.Lease)
			tx.Put("a/new", "x", clientv3.WithLease(lease.ID))
			tx.Put("a/new", "y", clientv3.WithIgnoreLease())
			kv, _ = tx.Get("a/new")
			require.Equal(t, "y", string(kv.Value))
			require.Equal(t, int64(lease.ID), kv.Lease)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []string{"a/new", "a/old"}, cluster.Leases()[0].Keys)
		_, err = c.Update(t.Context(), func(tx *Tx) error {
			tx.Put("a/old", "", clientv3.WithIgnoreValue())
			kv, _ := tx.Get("a/old")
			require.Equal(t, "changed", string(kv.Value))
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a/new": "y", "a/old": "changed"}, cluster.Dump("a/"))
		require.Equal(t, []string{"a/new"}, cluster.Leases()[0].Keys)
		_, err = c.Update(t.Context(), func(tx *Tx) error {
			tx.Delete("a/old")
			tx.Put("a/old", "", clientv3.WithIgnoreValue())
			return nil
		})
		require.ErrorIs(t, err, rpctypes.ErrKeyNotFound)
	})
}
