package cache

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// quietWatch opens a watch of a key that does not change, from a revision that is older than the
// history of the cache.
func (e edge) quietWatch() *randomwatch.Log {
	for range 5 {
		e.put("a/busy", "before")
	}
	synctest.Wait()
	return e.follow(e.Context(), "a/quiet", clientv3.WithRev(2))
}

// askProgress asks for progress and gives the answer some time.
func (e edge) askProgress() {
	require.NoError(e, e.watcher.RequestProgress(e.Context()))
	time.Sleep(time.Minute)
	synctest.Wait()
}

// requireChange requires that a watch gets the next change of its key, once.
func (e edge) requireChange(l *randomwatch.Log) {
	rev := e.put("a/quiet", "changes")
	time.Sleep(time.Minute)
	synctest.Wait()
	require.NoError(e, l.Err)
	require.Len(e, l.Events, 1)
	require.Equal(e, rev, l.Events[0].Kv.ModRevision)
}

// TestProgressOfQuietWatchesOnTheServer shows that a request for progress is answered although a
// watch without events has begun on a server whose notices prove nothing.
func TestProgressOfQuietWatchesOnTheServer(t *testing.T) {
	onEdge(t, func(e edge) {
		mute(e.cluster)
		l := e.quietWatch()
		e.askProgress()
		require.Equal(e, []int64{e.cluster.Revision()}, l.Notices)
		e.requireChange(l)
	}, WithHistory(0))
}

// TestProgressWaitsForAChangeWithoutNotices shows that a request for progress is answered with the
// next change of the range, if nothing else proves that no event is missing.
func TestProgressWaitsForAChangeWithoutNotices(t *testing.T) {
	onEdge(t, func(e edge) {
		mute(e.cluster)
		e.put("elsewhere", "x")
		e.cache.startOver("the log is to begin after the last change")
		time.Sleep(time.Second)
		l := e.follow(e.Context(), "a/quiet", clientv3.WithRev(2))
		e.askProgress()
		require.Empty(e, l.Notices, "a key may have come and gone")
		rev := e.put("a/busy", "after")
		synctest.Wait()
		require.Equal(e, []int64{rev}, l.Notices)
		e.requireChange(l)
	})
}

// TestQuietWatchesOnTheServerOutliveCompactions shows that no request for progress, and no silence
// of the server, ends a watch that has passed a compaction on the server.
func TestQuietWatchesOnTheServerOutliveCompactions(t *testing.T) {
	onEdge(t, func(e edge) {
		mute(e.cluster)
		l := e.quietWatch()
		e.cluster.Compact(e.cluster.Revision())
		e.askProgress()
		e.requireChange(l)
	}, WithHistory(0))
}

// TestQuietWatchesDoNotReadTheRange shows that a watch on a server that answers requests for
// progress gets the events of its own key only.
func TestQuietWatchesDoNotReadTheRange(t *testing.T) {
	onEdge(t, func(e edge) {
		var ofRange atomic.Int64
		e.cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
			create := call.Request.(*pb.WatchRequest).GetCreateRequest()
			if create.GetStartRevision() == 2 && len(create.RangeEnd) > 0 {
				ofRange.Add(1)
			}
			if create != nil && string(create.Key) == "a/quiet" {
				return etcdfake.Delay(3 * time.Second)
			}
			return etcdfake.Pass()
		})
		l := e.quietWatch()
		e.askProgress()
		require.Equal(e, []int64{e.cluster.Revision()}, l.Notices)
		require.Zero(e, ofRange.Load(), "watches of the whole range")
		e.requireChange(l)
	}, WithHistory(0))
}
