package cache

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// loseHistory puts the cache into the state that it has right after its cluster was restored from a
// backup. The copy is 100 revisions ahead of the server, and has another value of a key. The
// cluster id is the same as before, and no watch breaks, so only a read can show the restore.
func loseHistory(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
	t.Helper()
	mustPut(t, c.client, "a/k", "restored")
	_, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	c.publish(func(next *view) {
		old := next.tree.Get("a/k")
		next.tree = next.tree.Set(&pair{Key: old.Key, Value: []byte("lost"), Version: 9,
			CreateRevision: old.CreateRevision, ModRevision: old.ModRevision + 50})
		next.revision += 100
	})
	require.Less(t, cluster.Revision(), c.Snapshot().Revision())
}

// TestUpdateEndsAfterARestore has an Update send the first request after its cluster was restored
// from a backup. The Update succeeds, whether or not its transaction has a conflict.
func TestUpdateEndsAfterARestore(t *testing.T) {
	for name, row := range map[string]struct {
		read     string
		attempts int
	}{
		"a conflict": {"a/k", 2}, "a commit": {"a/none", 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				loseHistory(t, cluster, c)
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

// TestRevisionsOfALostHistoryAreForgotten shows what a cache does with a higher revision from the
// time before its cluster was restored. Status does not report it as known, and the cache does not
// request progress up to it.
func TestRevisionsOfALostHistoryAreForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		loseHistory(t, cluster, c)
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		s := c.Status()
		require.Equal(t, cluster.Revision(), s.Revision)
		require.Equal(t, s.Revision, s.Known)
		require.Zero(t, s.Lag)
		c.reach(s.Revision + 50) // as if a read before the restore had returned this revision
		time.Sleep(time.Minute)
		require.False(t, c.behind(), "progress is not asked for any longer")
	})
}

// TestGivingUpARevisionKeepsWhatIsKnown has a cache request progress up to a revision that may not
// exist. After some attempts it gives up, but still requests progress up to a lower revision that
// is known to exist. While a call waits for a revision, the cache does not give up.
func TestGivingUpARevisionKeepsWhatIsKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		now := c.Snapshot().Revision()
		c.learn(now + 1)
		c.reach(now + 1000)
		c.reach(now + 1)
		require.True(t, c.toAsk(unknownAttempts))
		c.waitFor(1)
		defer c.waitFor(-1)
		c.reach(now + 1000)
		require.True(t, c.toAsk(unknownAttempts))
	})
}

// TestProofsOfAnotherClusterProveNothing has a member of another cluster answer a read by which the
// cache learns what has changed. The cache sends such reads because its server ignores requests for
// progress. The cache ignores what an answer with another cluster id says, and lists its range
// again.
func TestProofsOfAnotherClusterProveNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		mute(cluster)
		mustPut(t, c.client, "a/k", "first")
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		second := etcdfake.New(t).Client()
		mustPut(t, second, "a/k", "second")
		for range 50 {
			mustPut(t, second, "b", "outside of the range")
		}
		first := c.client.KV
		defer func() { c.client.KV = first }()
		c.client.KV = &strayKV{KV: first, second: second}
		rev := mustPut(t, first, "b", "outside of the range")
		s, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, rev, s.Revision())
		require.EqualValues(t, 2, c.Status().Lists)
	})
}

// strayKV has another cluster answer the first read with a minimum modification revision. The cache
// asks with such a read what has changed.
type strayKV struct {
	clientv3.KV
	second clientv3.KV
}

func (s *strayKV) Get(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	second := s.second
	if op := clientv3.OpGet(key, opts...); op.MinModRev() == 0 || second == nil {
		return s.KV.Get(ctx, key, opts...)
	}
	s.second = nil
	resp, err := second.Get(ctx, key, opts...)
	if err == nil {
		resp.Header.ClusterId++
	}
	return resp, err
}

// TestKVSeesItsOwnWritesAfterARestore writes after the cluster was restored from a backup, before
// the cache has noticed the restore. A serializable read sees the write, although the cache may
// answer it from memory.
func TestKVSeesItsOwnWritesAfterARestore(t *testing.T) {
	for name, write := range map[string]func(context.Context, clientv3.KV) error{
		"Put": func(ctx context.Context, kv clientv3.KV) error {
			_, err := kv.Put(ctx, "a/k", "1")
			return err
		},
		"Do": func(ctx context.Context, kv clientv3.KV) error {
			_, err := kv.Do(ctx, clientv3.OpPut("a/k", "1"))
			return err
		},
		"Txn": func(ctx context.Context, kv clientv3.KV) error {
			_, err := kv.Txn(ctx).Then(clientv3.OpPut("a/k", "1")).Commit()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
				loseHistory(t, cluster, c)
				kv := c.KV()
				require.NoError(t, write(t.Context(), kv))
				resp, err := kv.Get(t.Context(), "a/k", clientv3.WithSerializable())
				require.NoError(t, err)
				require.Equal(t, "1", string(resp.Kvs[0].Value))
				require.Equal(t, cluster.Revision(), resp.Header.Revision)
			})
		})
	}
}

// TestKVSeesItsOwnWritesWhileAnEraEnds writes after the cache has found that its cluster was
// restored from a backup. A read sees the write, even while the watch lags and the revision of the
// new copy is still lower than that of the write.
func TestKVSeesItsOwnWritesWhileAnEraEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		loseHistory(t, cluster, c)
		old, kv := c.now(), c.KV()
		c.replaced(old, "of the test")
		for cluster.Revision() < old.revision {
			mustPut(t, c.client, "b", "outside of the range")
		}
		_, err := kv.Put(t.Context(), "a/k", "1")
		require.NoError(t, err)
		_, err = c.await(t.Context(), func(v *view) bool { return v.era > old.era })
		require.NoError(t, err)
		c.publish(func(next *view) { next.tree, next.revision = old.tree, old.revision-1 })
		c.startOver("of the test") // corrects the copy later
		resp, err := kv.Get(t.Context(), "a/k", clientv3.WithSerializable())
		require.NoError(t, err)
		require.Equal(t, "1", string(resp.Kvs[0].Value))
	})
}

// TestWritesOfALostHistoryAreNotWaitedFor has a cluster acknowledge a write right before it is
// restored from an older backup. A read does not wait for the revision of that write, which may
// never come.
func TestWritesOfALostHistoryAreNotWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		loseHistory(t, cluster, c)
		k, before := c.KV().(*kv), c.now()
		_, err := c.Fresh(t.Context(), 0)
		require.NoError(t, err)
		k.wrote(before, &pb.ResponseHeader{Revision: before.revision + 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = k.Get(ctx, "a/k", clientv3.WithSerializable())
		require.NoError(t, err)
	})
}

// TestReadsInThePastEndNoEra sends a read-only transaction through the KV of a cache. A member that
// lags answers it at an old revision. The cache does not take this for a restore of its cluster.
func TestReadsInThePastEndNoEra(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		_, err := c.AtLeast(t.Context(), mustPut(t, c.client, "a/k", "1"))
		require.NoError(t, err)
		cluster.On("Txn", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Answer(&pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 1}})
		})
		read := clientv3.OpGet("b", clientv3.WithSerializable())
		resp, err := c.KV().Do(t.Context(), clientv3.OpTxn(nil, []clientv3.Op{read}, nil))
		require.NoError(t, err)
		require.EqualValues(t, 1, resp.Txn().Header.Revision)
		time.Sleep(time.Second)
		require.Zero(t, c.now().era)
	})
}
