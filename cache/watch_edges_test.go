package cache

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// edge is a cluster, a cache of a/, and its Watcher, in virtual time.
type edge struct {
	*testing.T
	cluster *etcdfake.Cluster
	client  *clientv3.Client
	cache   *Cache
	watcher clientv3.Watcher
}

// onEdge runs a test in virtual time.
func onEdge(t *testing.T, f func(e edge), opts ...Option) {
	synctest.Test(t, func(t *testing.T) {
		e := edge{T: t, cluster: etcdfake.New(t)}
		e.client = e.cluster.Client()
		e.put("a/1", "one")
		c, err := New(e.client, "a/", opts...)
		require.NoError(t, err)
		defer c.Close()
		e.cache, e.watcher = c, c.Watcher()
		require.NoError(t, c.WaitSynced(t.Context()))
		f(e)
	})
}

func (e edge) put(key, value string) int64 {
	resp, err := e.client.Put(e.Context(), key, value)
	require.NoError(e, err)
	return resp.Header.Revision
}

// follow opens a watch through the cache and reads it.
func (e edge) follow(ctx context.Context, key string, opts ...clientv3.OpOption) *randomwatch.Log {
	l := &randomwatch.Log{}
	go l.Follow(e.watcher.Watch(ctx, key, opts...))
	synctest.Wait()
	return l
}

func TestRequestedProgressCoversWhatWasWritten(t *testing.T) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/1")
		rev := e.put("elsewhere", "x")
		require.NoError(e, e.watcher.RequestProgress(e.Context()))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(e, []int64{rev}, watch.Notices)

		future := e.follow(e.Context(), "a/1", clientv3.WithRev(rev+10))
		require.NoError(e, e.watcher.RequestProgress(e.Context()))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(e, future.Notices, "a watch of the future has not got that far")
		for range 10 {
			rev = e.put("elsewhere", "x")
		}
		require.NoError(e, e.watcher.RequestProgress(e.Context()))
		time.Sleep(time.Second)
		synctest.Wait()
		require.NotEmpty(e, future.Notices)
		require.Equal(e, rev, future.Notices[len(future.Notices)-1])
	})
}

func TestIdleWatchesGetNoticesOfProgress(t *testing.T) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/1", clientv3.WithProgressNotify())
		other := e.follow(e.Context(), "a/1")
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		require.NotEmpty(e, watch.Notices)
		require.Empty(e, other.Notices)
	})
}

func TestWatchesThatNeedALeaderEndWithout(t *testing.T) {
	onEdge(t, func(e edge) {
		needs := e.follow(clientv3.WithRequireLeader(e.Context()), "a/1")
		other := e.follow(e.Context(), "a/1")
		restore := e.cluster.LoseLeader()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(e, needs.Err, rpctypes.ErrNoLeader)
		require.False(e, other.Ended)
		restore()
		time.Sleep(time.Minute)
		rev := e.put("a/1", "two")
		synctest.Wait()
		require.Len(e, other.Events, 1)
		require.Equal(e, rev, other.Events[0].Kv.ModRevision)
	})
}

// TestWatchesOutliveTheCacheThatEnds shows that watches of a cache that has become too large go on,
// as watches on the server.
func TestWatchesOutliveTheCacheThatEnds(t *testing.T) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/", clientv3.WithPrefix())
		past := e.follow(e.Context(), "a/1", clientv3.WithRev(1))
		e.put("a/large", string(make([]byte, 1000)))
		synctest.Wait()
		_, err := e.cache.Fresh(e.Context(), 0)
		require.ErrorIs(e, err, ErrTooLarge)
		e.put("a/1", "two")
		later := e.follow(e.Context(), "a/1")
		last := e.put("a/1", "three")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, l := range []*randomwatch.Log{watch, past, later} {
			require.NoError(e, l.Err)
			require.Empty(e, l.Torn)
			require.Equal(e, last, l.Events[len(l.Events)-1].Kv.ModRevision)
		}
		require.Len(e, watch.Events, 3)
		require.Len(e, past.Events, 3)
		require.Len(e, later.Events, 1)
	}, WithMaxBytes(500))
}

// TestWatchesEndWithTheClient shows that no watch of a cache is left waiting for a closed client.
func TestWatchesEndWithTheClient(t *testing.T) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/1")
		require.NoError(e, e.client.Close())
		synctest.Wait()
		require.True(e, watch.Ended)
		require.True(e, e.follow(e.Context(), "a/1").Ended)
		require.True(e, e.follow(e.Context(), "a/1", clientv3.WithRev(1)).Ended)
	})
}

// TestWatchOfARestoredClusterWaits shows what a watch does if its cluster is restored from a backup
// with a lower revision. Like a watch on the server, it gets no events until the cluster has passed
// the last revision that the watch has seen.
func TestWatchOfARestoredClusterWaits(t *testing.T) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/1")
		for range 5 {
			e.put("a/1", "before")
		}
		synctest.Wait()
		require.Len(e, watch.Events, 5)
		had := e.cache.now().revision
		e.cache.publish(func(next *view) {
			next.revision, next.logged, next.era = had-3, had-3, next.era+1
			e.cache.append(next, &entry{first: had - 3, last: had - 3, gap: true})
		})
		synctest.Wait()
		late := e.follow(e.Context(), "a/1", clientv3.WithRev(had-2))
		for range 4 {
			e.cache.change("a/1")
		}
		synctest.Wait()
		require.Len(e, watch.Events, 6, "only the revision after the last one before")
		require.Equal(e, had+1, watch.Events[5].Kv.ModRevision)
		require.Len(e, late.Events, 4, "a new watch begins in the restored history")
	})
}

// TestWatchesAreOpenedWithoutQuorum shows that Watch returns while linearizable reads fail, as they
// do without quorum. It returns whether or not the cache has read its range before. The watches get
// what is written later.
func TestWatchesAreOpenedWithoutQuorum(t *testing.T) {
	onEdge(t, func(e edge) {
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(rpctypes.ErrGRPCTimeout)
		})
		unread, err := New(e.client, "a/")
		require.NoError(e, err)
		defer unread.Close()
		start := time.Now()
		watch := e.follow(e.Context(), "a/1")
		again := e.follow(e.Context(), "a/1")
		e.watcher = unread.Watcher()
		direct := e.follow(e.Context(), "a/1")
		require.LessOrEqual(e, time.Since(start), 2*proofOfNow, "each cache waits once")
		rev := e.put("a/1", "two")
		synctest.Wait()
		for _, l := range []*randomwatch.Log{watch, again, direct} {
			require.Len(e, l.Events, 1)
			require.Equal(e, rev, l.Events[0].Kv.ModRevision)
		}
	})
}

// TestWatchesWaitForALongList shows that a Watch without a revision waits for a list that makes
// progress, however long it takes. The watch is then served from memory.
func TestWatchesWaitForALongList(t *testing.T) {
	onEdge(t, func(e edge) {
		e.put("a/2", "two")
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Delay(proofOfNow * 3 / 4)
		})
		long, err := New(e.client, "a/", WithPageSize(1))
		require.NoError(e, err)
		defer long.Close()
		e.watcher = long.Watcher()
		var onServer atomic.Int64
		e.cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
			create := call.Request.(*pb.WatchRequest).GetCreateRequest()
			if string(create.GetKey()) == "a/1" {
				onServer.Add(1)
			}
			return etcdfake.Pass()
		})
		l := e.follow(e.Context(), "a/1")
		require.Equal(e, 2, long.Snapshot().Len())
		require.Zero(e, onServer.Load())
		rev := e.put("a/1", "changed")
		synctest.Wait()
		require.Len(e, l.Events, 1)
		require.Equal(e, rev, l.Events[0].Kv.ModRevision)
	})
}

// TestWatchAsksForAProofAgainAfterAnOutage shows that each Watch asks the server for its revision,
// even if the server did not answer an earlier Watch. So the later Watch starts after everything
// that was written before its call.
func TestWatchAsksForAProofAgainAfterAnOutage(t *testing.T) {
	onEdge(t, func(e edge) {
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(rpctypes.ErrGRPCTimeout)
		})
		e.follow(e.Context(), "a/1")
		e.cluster.On("Range", nil)
		time.Sleep(missedFor)
		begin := time.Now()
		e.follow(e.Context(), "a/1")
		require.False(e, e.cache.now().provenAt.Before(begin))
	})
}

// TestWatchReturnsDuringAListThatStandsStill shows that a Watch does not wait for the rest of a
// list if no more pages arrive, as when a cluster loses its quorum.
func TestWatchReturnsDuringAListThatStandsStill(t *testing.T) {
	onEdge(t, func(e edge) {
		e.put("a/2", "two")
		var reads atomic.Int64
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			if reads.Add(1) > 1 {
				return etcdfake.Refuse(rpctypes.ErrGRPCTimeout)
			}
			return etcdfake.Pass()
		})
		long, err := New(e.client, "a/", WithPageSize(1))
		require.NoError(e, err)
		defer long.Close()
		e.watcher = long.Watcher()
		start := time.Now()
		l := e.follow(e.Context(), "a/1")
		require.LessOrEqual(e, time.Since(start), 3*proofOfNow)
		rev := e.put("a/1", "changed")
		synctest.Wait()
		require.Len(e, l.Events, 1)
		require.Equal(e, rev, l.Events[0].Kv.ModRevision)
	})
}

// TestAnUpToDateWatchNeedsNoHistory has a cache whose history keeps only the newest change. A watch
// that reads each change at once still gets all of them.
func TestAnUpToDateWatchNeedsNoHistory(t *testing.T) {
	c := costCache(t, 0)
	table := newWatchTable(c.history, c.now())
	table.create(&pb.WatchCreateRequest{Key: []byte("a/"), RangeEnd: []byte("a0")})
	for range 10 {
		rev := c.change("a/key")
		table.look(c.now())
		for table.step() {
		}
		require.Empty(t, table.orphans)
		require.Empty(t, table.others)
		require.Equal(t, rev, table.head.revision)
	}
	events := 0
	for resp := table.take(); resp != nil; resp = table.take() {
		events += len(resp.Events)
	}
	require.Equal(t, 10, events)
}
