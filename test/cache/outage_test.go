package cache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestManyConsumersOverACompaction: 1,000 consumers range over Changes of a cache that is cut off
// from the server. Meanwhile a tenth of the keys is deleted and history is compacted. Each consumer
// gets the deletions once.
func TestManyConsumersOverACompaction(t *testing.T) {
	const consumers, keys, deleted = 1000, 2000, 200
	cluster := etcdtest.Start(t)
	direct := testclient.Open(t, cluster)
	for i := 0; i < keys; i += 100 {
		var ops []clientv3.Op
		for j := range 100 {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("m/%04d", i+j), "v"))
		}
		_, err := direct.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
	}
	proxy := faultnet.New(t, cluster.Members()[0].Address())
	c := synced(t, testclient.New(t, clientv3.Config{Endpoints: []string{proxy.Addr()}}), "m/")
	var ready, done sync.WaitGroup
	var wrong atomic.Int64
	ready.Add(consumers)
	for range consumers {
		done.Go(func() {
			if !isDifferenceOnce(t, c, ready.Done, deleted) {
				wrong.Add(1)
			}
		})
	}
	ready.Wait()
	proxy.Refuse()
	proxy.Reset()
	resp, err := direct.Delete(t.Context(), "m/0000", clientv3.WithRange("m/0200"))
	require.NoError(t, err)
	require.EqualValues(t, deleted, resp.Deleted)
	last, err := direct.Put(t.Context(), "m/last", "v")
	require.NoError(t, err)
	_, err = direct.Compact(t.Context(), last.Header.Revision)
	require.NoError(t, err)
	time.Sleep(time.Second) // the watch is tried again meanwhile, without success
	proxy.Heal()
	_, err = c.AtLeast(t.Context(), last.Header.Revision)
	require.NoError(t, err)
	_, err = direct.Put(t.Context(), "m/end", "v")
	require.NoError(t, err)
	done.Wait()
	require.Zero(t, wrong.Load(), "consumers")
}

// isDifferenceOnce ranges over Changes until the key m/end comes. It reports whether Changes
// yielded each deletion once, and one batch had Gap set.
func isDifferenceOnce(t *testing.T, c *cache.Cache, ready func(), deleted int) bool {
	gone, gaps := 0, 0
	for batch, err := range c.Changes(t.Context()) {
		if err != nil {
			return false
		}
		if batch.Full {
			ready()
			continue
		}
		if batch.Gap {
			gaps++
		}
		for _, ch := range batch.Changes {
			switch {
			case ch.Key == "m/end":
				return gone == deleted && gaps == 1
			case ch.New == nil && ch.Old != nil:
				gone++
			case ch.Key != "m/last":
				return false
			}
		}
	}
	return false
}
