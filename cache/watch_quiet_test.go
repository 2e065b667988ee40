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
// history of the cache. The watch asks for previous values, which sets the watches on the server
// that are made for it apart from the watch of the cache.
func (e edge) quietWatch() *randomwatch.Log {
	for range 5 {
		e.put("a/busy", "before")
	}
	synctest.Wait()
	return e.follow(e.Context(), "a/quiet", clientv3.WithRev(2), clientv3.WithPrevKV())
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

// TestProgressOfQuietWatchesOnTheServer shows that a cache's Watcher sends a progress notice to a
// watch that has had no events, although the server ignores requests for progress.
func TestProgressOfQuietWatchesOnTheServer(t *testing.T) {
	onEdge(t, func(e edge) {
		mute(e.cluster)
		l := e.quietWatch()
		e.askProgress()
		require.Equal(e, []int64{e.cluster.Revision()}, l.Notices)
		e.requireChange(l)
	}, WithHistory(0))
}

// TestProgressWaitsForAChangeWithoutNotices shows when a request for progress is answered if the
// server ignores such requests: with the next change of the range. Before that change, the cache
// cannot know that no event is missing.
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

// TestQuietWatchesOnTheServerOutliveCompactions compacts revisions after the start revision of a
// watch that has had no events. The watch goes on, although the server ignores the next request for
// progress.
func TestQuietWatchesOnTheServerOutliveCompactions(t *testing.T) {
	onEdge(t, func(e edge) {
		mute(e.cluster)
		l := e.quietWatch()
		e.cluster.Compact(e.cluster.Revision())
		e.askProgress()
		e.requireChange(l)
	}, WithHistory(0))
}

// TestQuietWatchesDoNotReadTheRange shows that no watch of the whole range is opened for a watch of
// one key without events, if the server answers requests for progress.
func TestQuietWatchesDoNotReadTheRange(t *testing.T) {
	onEdge(t, func(e edge) {
		ofRange := e.watchesOfRange(3*time.Second, etcdfake.Pass)
		l := e.quietWatch()
		e.askProgress()
		require.Equal(e, []int64{e.cluster.Revision()}, l.Notices)
		require.Zero(e, ofRange.Load(), "watches of the whole range")
		e.requireChange(l)
	}, WithHistory(0))
}

// watchesOfRange makes the server count the watches of a key range that start at revision 2 and ask
// for previous values, and returns the counter. Watches by which the client tests the order of the
// server's answers ask for none, and are not counted. The server opens the watch of the key a/quiet
// after the delay create. It handles each request for progress as the function progress says.
func (e edge) watchesOfRange(
	create time.Duration, progress func() etcdfake.Action,
) *atomic.Int64 {
	n := &atomic.Int64{}
	e.cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
		req := call.Request.(*pb.WatchRequest)
		switch w := req.GetCreateRequest(); {
		case req.GetProgressRequest() != nil:
			return progress()
		case w.GetStartRevision() == 2 && len(w.RangeEnd) > 0 && w.PrevKv:
			n.Add(1)
		case w != nil && string(w.Key) == "a/quiet":
			return etcdfake.Delay(create)
		}
		return etcdfake.Pass()
	})
	return n
}

// TestSlowServersAreNotTakenForMute has a member answer all requests some seconds late, before the
// cache knows the member's version. The cache does not conclude that the member ignores requests
// for progress, so it does not watch the whole range instead.
func TestSlowServersAreNotTakenForMute(t *testing.T) {
	for _, lag := range []time.Duration{4 * time.Second, 10 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			onEdge(t, func(e edge) {
				ofRange := e.watchesOfRange(0, etcdfake.Pass)
				e.cluster.Member(0).Lag(lag)
				v := &e.cache.asker.versions
				v.mu.Lock()
				clear(v.orders)
				v.mu.Unlock()
				l := e.quietWatch()
				for range 5 {
					e.put("elsewhere", "x")
					e.askProgress()
				}
				require.Zero(e, ofRange.Load(), "watches of the whole range")
				require.NotEmpty(e, l.Notices)
			}, WithHistory(0))
		})
	}
}

// TestSilenceOfAServerEnds has a server ignore requests for progress for so long that the cache
// watches the whole range, to get some events from which it learns the progress. When the server
// answers requests again, that watch ends.
func TestSilenceOfAServerEnds(t *testing.T) {
	onEdge(t, func(e edge) {
		silent := atomic.Bool{}
		silent.Store(true)
		ofRange := e.watchesOfRange(0, func() etcdfake.Action {
			if silent.Load() {
				return etcdfake.Answer(&pb.WatchResponse{WatchId: 1 << 40}) // no watch has this id
			}
			return etcdfake.Pass()
		})
		e.put("elsewhere", "x")
		e.cache.startOver("the log is to begin after the last change")
		time.Sleep(time.Second)
		l := e.follow(e.Context(), "a/quiet", clientv3.WithRev(2), clientv3.WithPrevKV())
		time.Sleep(5 * time.Minute)
		require.EqualValues(e, 1, ofRange.Load())
		require.Equal(e, 2, e.cluster.Member(0).Streams("Watch"))
		silent.Store(false)
		e.askProgress()
		require.EqualValues(e, 1, ofRange.Load())
		require.Equal(e, 1, e.cluster.Member(0).Streams("Watch"), "that of the cache")
		require.Equal(e, []int64{e.cluster.Revision()}, l.Notices)
		e.requireChange(l)
	}, WithHistory(0))
}
