package cache

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestTxShowsItsOwnWrites runs transactions of random writes and reads, and applies the writes to a
// map as well. Each read must return what the map has. After the commit, the server must have the
// pairs of the map.
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

// compareRange requires that the first pairs of tx.Range are those of the model. It compares no
// more pairs than the parameter most says.
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

// TestPutsOfATxTakeOptions shows that a Tx can keep the value or the lease of a key. Both may come
// from an earlier put of the same Tx.
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

// TestLoopsThatEndWithoutAWordCount leaves a loop over a range early without the iterator's
// knowledge, for example by a panic, or runs two loops over the range and leaves only one early. In
// both cases, the commit depends on the whole range: if another client creates a key in it, Update
// runs its function again.
func TestLoopsThatEndWithoutAWordCount(t *testing.T) {
	for name, read := range map[string]func(*Tx){
		"a panic that is recovered": func(tx *Tx) {
			defer func() { _ = recover() }()
			for range tx.Range("a/b", "a/p") {
				panic("in the loop")
			}
		},
		"an iter.Pull that is not stopped": func(tx *Tx) {
			next, stop := iter.Pull(tx.Range("a/b", "a/p"))
			tx.c.tasks.Go(func() { <-tx.c.ctx.Done(); stop() })
			next()
		},
		"a loop that is left in a whole one": func(tx *Tx) {
			for range tx.Range("a/b", "a/p") {
				for range tx.Range("a/b", "a/p") {
					break
				}
			}
		},
		"a whole loop in one that is left": func(tx *Tx) {
			for range tx.Range("a/b", "a/p") {
				for range tx.Range("a/b", "a/p") {
				}
				break
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				_, err := c.AtLeast(t.Context(), mustPut(t, c.client, "a/c", "1"))
				require.NoError(t, err)
				require.Equal(t, 2,
					interfering(t, c, read, func() { mustPut(t, c.client, "a/d", "phantom") }))
			})
		})
	}
}
