package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestLastKeysOfALongListCanBeDeleted reads a range with so many keys that the last inner node of
// the cache's tree has only one child. Then one of the last keys is deleted.
func TestLastKeysOfALongListCanBeDeleted(t *testing.T) {
	cluster := etcdfake.New(t)
	client := cluster.Client()
	var ops []clientv3.Op
	for i := range 62*62 + 10 {
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("a/%06d", i), "x"))
		if len(ops) == 100 || i == 62*62+9 {
			_, err := client.Txn(t.Context()).Then(ops...).Commit()
			require.NoError(t, err)
			ops = nil
		}
	}
	c := synced(t, client, "a/")
	require.Equal(t, 62*62+10, c.Snapshot().Len())
	_, err := client.Delete(t.Context(), "a/003850")
	require.NoError(t, err)
	s, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 62*62+9, s.Len())
}

// editFirstPage has the cluster change its answer to the first request for a page. It answers later
// requests for pages after a delay.
func editFirstPage(cluster *etcdfake.Cluster, delay time.Duration, edit func(*pb.RangeResponse)) {
	var pages atomic.Int64
	cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
		switch {
		case call.Request.(*pb.RangeRequest).Limit == 0:
		case pages.Add(1) == 1:
			return etcdfake.Edit(edit)
		default:
			time.Sleep(delay)
		}
		return etcdfake.Pass()
	})
}

// TestRestoreBetweenTheLastPageAndTheWatch restores a cluster from a backup right after a cache has
// read all pages of its range. The pages have a revision that the restored cluster has not reached.
// The cache notices the restore before it reports that it is synced, and lists again.
func TestRestoreBetweenTheLastPageAndTheWatch(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cluster := etcdfake.New(t)
			client := cluster.Client()
			mustPut(t, client, "a/1", "restored")
			if silent {
				mute(cluster)
			}
			editFirstPage(cluster, 0, func(resp *pb.RangeResponse) {
				resp.Header.Revision += 100
				resp.Kvs[0].Value = []byte("lost")
				resp.Kvs[0].ModRevision = resp.Header.Revision
			})
			c, err := New(client, "a/")
			require.NoError(t, err)
			defer func() { _ = c.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			require.NoError(t, c.WaitSynced(ctx))
			for range 101 {
				mustPut(t, client, "b", "outside")
			}
			require.NoError(t, c.WaitSynced(t.Context()))
			s, err := c.Fresh(t.Context(), 0)
			require.NoError(t, err)
			require.Equal(t, "restored", contents(s)["a/1"], "without notices: %v", silent)
		})
	}
}

// TestOwnWriteWhileTheFirstListStartsOver restores the cluster during the first list, so the cache
// lists its range again. A put through the cache's KV runs meanwhile. A serializable read then sees
// this put.
func TestOwnWriteWhileTheFirstListStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		mustPut(t, client, "a/k", "1")
		mustPut(t, client, "a/k", "2")
		editFirstPage(cluster, 5*time.Second, func(resp *pb.RangeResponse) {
			resp.Header.Revision = 1
		})
		c, err := New(client, "a/")
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		time.Sleep(2 * time.Second)
		require.False(t, c.now().synced())
		kv := c.KV()
		_, err = kv.Put(t.Context(), "a/k", "3")
		require.NoError(t, err)
		require.NoError(t, c.WaitSynced(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		resp, err := kv.Get(ctx, "a/k", clientv3.WithSerializable())
		require.NoError(t, err)
		require.Equal(t, "3", string(resp.Kvs[0].Value))
	})
}

// TestKnownAfterARestoreInTheFirstList has the first page of a list come from a cluster that is
// then restored from a backup. Afterwards, Status.Known must not be the revision of that page.
func TestKnownAfterARestoreInTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		mustPut(t, client, "a/1", "1")
		mustPut(t, client, "a/2", "2")
		editFirstPage(cluster, 0, func(resp *pb.RangeResponse) { resp.Header.Revision += 100 })
		c := synced(t, client, "a/", WithPageSize(1))
		time.Sleep(time.Minute)
		s := c.Status()
		require.Equal(t, s.Revision, s.Known)
		require.Zero(t, s.Lag)
	})
}

// TestClosedCachesAreForgotten shows that the asker, which sends the linearizable reads of all
// caches of a client, keeps no closed cache in memory. A cache that waits for the versions of the
// servers is kept until all endpoints have answered.
func TestClosedCachesAreForgotten(t *testing.T) {
	cluster := etcdfake.New(t)
	client := cluster.Client()
	mustPut(t, client, "a/1", "x")
	a, err := New(client, "a/")
	require.NoError(t, err)
	require.NoError(t, a.WaitSynced(t.Context()))
	mustPut(t, client, "b", "x")
	_, err = a.Fresh(t.Context(), 0)
	require.NoError(t, err)
	b := synced(t, client, "b/")
	require.NoError(t, a.Close())
	v := &b.asker.versions
	require.Eventually(t, func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return len(v.wait) == 0
	}, 10*time.Second, time.Millisecond, "all endpoints have answered")
}

// TestStreamsThatBreakEarlyGiveWayToPages shows that a list does not go on with streams if each of
// them breaks after only ten keys. The rest of the range is read by pages.
func TestStreamsThatBreakEarlyGiveWayToPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		fillRange(t, cluster, 900)
		cluster.On("RangeStream", func(call *etcdfake.Call) etcdfake.Action {
			var n atomic.Int64
			return etcdfake.Edit(func(*pb.RangeStreamResponse) {
				if n.Add(1) == 2 {
					time.Sleep(time.Millisecond)
					cluster.Member(0).EndStreams("RangeStream", context.Canceled)
					time.Sleep(time.Millisecond)
				}
			})
		})
		synced(t, cluster.Client(), "a/", pageOf(20))
		require.Less(t, cluster.Calls("RangeStream"), 20)
	})
}
