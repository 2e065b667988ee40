package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// TestTheLimitIsOnOneRevision moves a large value from one key to another while the pages of a list
// are read, so two pages contain it. Together they exceed WithMaxBytes, but the range did not at
// any revision, so the cache goes on.
func TestTheLimitIsOnOneRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := etcdfake.New(t)
		other, large := cluster.Client(), strings.Repeat("x", 60)
		mustPut(t, other, "a/1", large)
		mustPut(t, other, "a/2", "")
		cluster.On("Watch", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Edit(func(resp *pb.WatchResponse) {
				if len(resp.Events) > 0 {
					time.Sleep(time.Second)
				}
			})
		})
		pages := atomic.Int64{}
		cluster.On("Range", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.RangeRequest).Limit > 0 && pages.Add(1) == 2 {
				_, _ = other.Txn(call.Context()).Then(
					clientv3.OpDelete("a/1"), clientv3.OpPut("a/3", large)).Commit()
			}
			return etcdfake.Pass()
		})
		c := synced(t, cluster.Client(), "a/", WithPageSize(1), WithMaxBytes(100))
		require.Equal(t, map[string]string{"a/2": "", "a/3": large}, contents(c.Snapshot()))
	})
}

// TestEventsDoNotKeepTheirResponses shows that a cached pair does not keep the whole watch
// response, of fifty events, in memory. A cache needs not much more memory than its keys and
// values.
func TestEventsDoNotKeepTheirResponses(t *testing.T) {
	const keys, together = 4000, 50
	cluster := etcdfake.New(t)
	other, value := cluster.Client(), strings.Repeat("x", 1000)
	put := func(first, step int) {
		var ops []clientv3.Op
		for i := range together {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("a/%06d", (first+i*step)%keys), value))
		}
		_, err := other.Txn(t.Context()).Then(ops...).Commit()
		require.NoError(t, err)
	}
	for i := 0; i < keys; i += together {
		put(i, 1)
	}
	c := synced(t, cluster.Client(), "a/", WithHistory(0), WithAudit(0))
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 8 * keys / together {
		put(rnd.IntN(keys), 79)
	}
	_, err := c.Fresh(t.Context(), 0)
	require.NoError(t, err)
	s := c.Status()
	with := liveHeap()
	c.publish(func(next *view) { next.tree, next.last = tree{}, &entry{} })
	c.history = newHistory(0)
	held := int64(with.HeapAlloc) - int64(liveHeap().HeapAlloc)
	require.Less(t, held, (s.Bytes+int64(s.Keys)*150)*3/2)
}
