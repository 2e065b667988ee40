package cache

import (
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// onEnded runs a test with a watch that was opened through a cache. The cache has since ended with
// ErrTooLarge.
func onEnded(t *testing.T, f func(e edge, watch *randomwatch.Log), opts ...clientv3.OpOption) {
	onEdge(t, func(e edge) {
		watch := e.follow(e.Context(), "a/1", opts...)
		e.put("a/large", string(make([]byte, 1000)))
		_, err := e.cache.Fresh(e.Context(), 0)
		require.ErrorIs(e, err, ErrTooLarge)
		f(e, watch)
		require.False(e, watch.Ended)
	}, WithMaxBytes(500))
}

func TestRequestsForProgressAreAnsweredAfterTheCacheHasEnded(t *testing.T) {
	onEnded(t, func(e edge, watch *randomwatch.Log) {
		for range 3 {
			had := len(watch.Notices)
			rev := e.put("elsewhere", "x")
			require.NoError(e, e.watcher.RequestProgress(e.Context()))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Len(e, watch.Notices, had+1)
			require.Equal(e, rev, watch.Notices[had])
		}
		e.put("a/1", "two")
		synctest.Wait()
		require.Len(e, watch.Events, 1)
	})
}

func TestPeriodicNoticesComeAfterTheCacheHasEnded(t *testing.T) {
	onEnded(t, func(e edge, watch *randomwatch.Log) {
		direct := &randomwatch.Log{}
		go direct.Follow(e.client.Watch(e.Context(), "a/1", clientv3.WithProgressNotify()))
		time.Sleep(35 * time.Minute)
		synctest.Wait()
		require.NotEmpty(e, direct.Notices)
		require.NotEmpty(e, watch.Notices)
	}, clientv3.WithProgressNotify())
}

// TestWatchesStayNarrowAfterTheCacheHasEnded shows what happens to a watch of one key when the
// cache has ended because its range is too large. The watch stays a watch of that key on the
// server, not of the whole range, and the cache sends no requests for progress.
func TestWatchesStayNarrowAfterTheCacheHasEnded(t *testing.T) {
	onEnded(t, func(e edge, _ *randomwatch.Log) {
		time.Sleep(time.Second)
		var wide, progress atomic.Int64
		e.cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
			req := call.Request.(*pb.WatchRequest)
			if len(req.GetCreateRequest().GetRangeEnd()) > 0 {
				wide.Add(1)
			}
			if req.GetProgressRequest() != nil {
				progress.Add(1)
			}
			return etcdfake.Pass()
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Zero(e, wide.Load())
		require.Less(e, progress.Load(), int64(150)) // the client itself sends these requests
	})
}

// TestWatchesOfAPermittedKeyOutliveTheCache revokes the permission of the cache's user for the
// range, but not for one of its keys. The cache ends. Watches of that key go on, and a watch of
// another key ends with an error.
func TestWatchesOfAPermittedKeyOutliveTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		cluster := etcdfake.New(t, etcdfake.WithUsers(
			etcdfake.User{Name: "root", Password: "root"},
			etcdfake.User{Name: "u", Password: "u", Permissions: []*authpb.Permission{
				{PermType: authpb.READWRITE, Key: []byte("a/1")},
				{PermType: authpb.READWRITE, Key: []byte("a/"), RangeEnd: []byte("a0")}}}))
		as := func(name string) *clientv3.Client {
			return cluster.Client(func(c *clientv3.Config) { c.Username, c.Password = name, name })
		}
		root := as("root")
		mustPut(t, root, "a/1", "x")
		c := synced(t, as("u"), "a/")
		w := c.Watcher()
		var keeps [2]randomwatch.Log
		var loses randomwatch.Log
		for i := range keeps {
			go keeps[i].Follow(w.Watch(ctx, "a/1"))
		}
		go loses.Follow(w.Watch(ctx, "a/2"))
		synctest.Wait()
		roles, err := root.UserGet(ctx, "u")
		require.NoError(t, err)
		_, err = root.RoleRevokePermission(ctx, roles.Roles[0], "a/", "a0")
		require.NoError(t, err)
		_, err = c.Fresh(ctx, 0)
		require.ErrorIs(t, err, rpctypes.ErrPermissionDenied)
		time.Sleep(time.Minute)
		mustPut(t, root, "a/1", "y")
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := range keeps {
			require.NoError(t, keeps[i].Err)
			require.Len(t, keeps[i].Events, 1)
		}
		require.True(t, loses.Ended)
		require.ErrorIs(t, loses.Err, rpctypes.ErrPermissionDenied)
	})
}

// TestWatchFromARevisionDoesNotWaitForTheFirstList shows that a watch from a revision is opened on
// the server while the cache cannot read its range.
func TestWatchFromARevisionDoesNotWaitForTheFirstList(t *testing.T) {
	onEdge(t, func(e edge) {
		first := e.put("a/1", "two")
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.Refuse(rpctypes.ErrGRPCTimeout)
		})
		unread, err := New(e.client, "a/")
		require.NoError(e, err)
		defer unread.Close()
		e.watcher = unread.Watcher()
		watch := e.follow(e.Context(), "a/1", clientv3.WithRev(first))
		time.Sleep(2 * proofOfNow)
		synctest.Wait()
		require.Len(e, watch.Events, 1)
	})
}

// TestWatchOfACacheThatFailsUnreadStartsWhereItWants opens a watch through a cache that lacks the
// permission to read its range. The watch becomes one on the server. It begins at the revision that
// the caller asked for, not at an earlier one.
func TestWatchOfACacheThatFailsUnreadStartsWhereItWants(t *testing.T) {
	onEdge(t, func(e edge) {
		for range 20 {
			e.put("a/1", "x")
		}
		late := e.put("a/1", "last")
		e.cluster.On("Range", func(*etcdfake.Call) etcdfake.Action {
			time.Sleep(time.Second)
			return etcdfake.Refuse(rpctypes.ErrGRPCPermissionDenied)
		})
		least := atomic.Int64{}
		least.Store(math.MaxInt64)
		e.cluster.On("Watch", func(call *etcdfake.Call) etcdfake.Action {
			w := call.Request.(*pb.WatchRequest).GetCreateRequest()
			if w != nil && len(w.RangeEnd) == 0 {
				least.Store(min(least.Load(), w.StartRevision))
			}
			return etcdfake.Pass()
		})
		unread, err := New(e.client, "a/")
		require.NoError(e, err)
		defer unread.Close()
		e.watcher = unread.Watcher()
		watch := e.follow(e.Context(), "a/1", clientv3.WithRev(late))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.NoError(e, watch.Err)
		require.Len(e, watch.Events, 1)
		require.Equal(e, late, least.Load())
	})
}

// TestNoProgressForAWatchThatWaitsAfterARestore restores the cluster to a revision below the one
// from which a watch goes on. Until the cluster has reached this revision again, the watch gets no
// answer to a request for progress.
func TestNoProgressForAWatchThatWaitsAfterARestore(t *testing.T) {
	c := costCache(t, 1<<20)
	for range 5 {
		c.change("a/1")
	}
	table := newWatchTable(c.history, c.now())
	table.request(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: []byte("a/1")}}})
	settle := func() {
		table.look(c.now())
		for table.step() {
			continue
		}
	}
	had := c.change("a/1")
	settle()
	c.publish(func(next *view) {
		next.revision, next.logged, next.era = had-3, had-3, next.era+1
		c.append(next, &entry{first: had - 3, last: had - 3, gap: true})
	})
	settle()
	for table.take() != nil {
		continue
	}
	table.asked = had - 3
	settle()
	require.Nil(t, table.take(), "the watch waits for revision %d", had+1)
}
