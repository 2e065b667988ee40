package cache

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestCacheInRealTime uses each part of a cache once, without virtual time. So it also runs with
// the published etcd client, by `make portable`.
func TestCacheInRealTime(t *testing.T) {
	client := etcdfake.New(t).Client()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	put := func(key, value string) int64 {
		resp, err := client.Put(ctx, key, value)
		require.NoError(t, err)
		return resp.Header.Revision
	}
	first := put("a/1", "one")
	c, err := New(client, "a/")
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.WaitSynced(ctx))
	w := c.Watcher()
	fromNow := w.Watch(ctx, "a/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	past := w.Watch(ctx, "a/1", clientv3.WithRev(first))
	put("b", "elsewhere")
	second := put("a/1", "two")

	s, err := c.AtLeast(ctx, second)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a/1": "two"}, contents(s))
	resp := <-fromNow
	require.NoError(t, resp.Err())
	require.Equal(t, "one", string(resp.Events[0].PrevKv.Value))
	resp = <-past
	require.NoError(t, resp.Err())
	require.Equal(t, first, resp.Events[0].Kv.ModRevision)

	put("a/2", "three")
	s, err = c.Fresh(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a/1": "two", "a/2": "three"}, contents(s))
	get, err := c.KV().Get(ctx, "a/2")
	require.NoError(t, err)
	require.Equal(t, "three", string(get.Kvs[0].Value))
	_, err = c.Update(ctx, func(tx *Tx) error {
		tx.Delete("a/1")
		return nil
	})
	require.NoError(t, err)
	for batch, err := range c.Changes(ctx) {
		require.NoError(t, err)
		require.True(t, batch.Full)
		require.Len(t, batch.Changes, 1)
		break
	}
	require.NoError(t, w.Close())
	for range past { // Close has closed the channel
	}
}

// TestListsOfAnyServerInRealTime lists a range that is larger than the first page, from servers
// with and without RangeStream.
func TestListsOfAnyServerInRealTime(t *testing.T) {
	for version, streams := range map[string]int{"3.7.3": 1, "3.6.1": 0} {
		t.Run(version, func(t *testing.T) {
			cluster := etcdfake.New(t, etcdfake.WithVersion(version))
			client := cluster.Client()
			for i := 0; i < 2*defaultPageSize; i += 100 {
				var puts []clientv3.Op
				for j := range 100 {
					puts = append(puts, clientv3.OpPut(fmt.Sprintf("a/%05d", i+j), "x"))
				}
				_, err := client.Txn(t.Context()).Then(puts...).Commit()
				require.NoError(t, err)
			}
			c, err := New(client, "a/")
			require.NoError(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.NoError(t, c.WaitSynced(ctx))
			require.Equal(t, cluster.Dump("a/"), contents(c.Snapshot()))
			require.Equal(t, streams, cluster.Calls("RangeStream"))
			require.EqualValues(t, 1, c.Status().Lists)
		})
	}
}

// contents returns what a snapshot holds, by key.
func contents(s Snapshot) map[string]string {
	all := map[string]string{}
	for kv := range s.All() {
		all[string(kv.Key)] = string(kv.Value)
	}
	return all
}
