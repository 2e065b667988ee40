package cache

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/randomwatch"
)

// late is a cache whose watch lags: it has not yet delivered that the key a/x was created and
// deleted. The cache already shows the revision of the deletion, because a read has proven that the
// keys of its range are the same as before.
type late struct {
	*testing.T
	cluster *etcdfake.Cluster
	server  *clientv3.Client // a client of a member that does not lag
	cache   *Cache
	watch   *randomwatch.Log // logs a watch of all keys, opened before a/x was put
	behind  []int64          // revisions of events that a notice of progress had already passed
	watcher clientv3.Watcher
	put     int64 // the revision at which a/x was created; at the next one it was deleted
}

// follow reads a watch to its end.
func (l *late) follow(ch clientv3.WatchChan) {
	notice := int64(0)
	for resp := range ch {
		l.watch.Take(&resp)
		if resp.IsProgressNotify() {
			notice = resp.Header.Revision
		}
		for _, ev := range resp.Events {
			if ev.Kv.ModRevision <= notice {
				l.behind = append(l.behind, ev.Kv.ModRevision)
			}
		}
	}
}

// whileLate runs a test in virtual time. The watch of the cache lags by the duration lag.
func whileLate(
	t *testing.T, lag time.Duration, f func(l *late), opts ...clientv3.OpOption,
) {
	synctest.Test(t, func(t *testing.T) {
		l := &late{T: t, cluster: etcdfake.New(t, etcdfake.WithMembers(2))}
		mute(l.cluster)
		client := func(member int) *clientv3.Client {
			return l.cluster.Client(func(cfg *clientv3.Config) {
				cfg.Endpoints = l.cluster.Endpoints()[member : member+1]
			})
		}
		l.server = client(0)
		lagging := client(1)
		lagging.KV = l.server.KV
		mustPut(t, l.server, "a/0", "x")
		l.cache = synced(t, lagging, "a/", WithMaxBytes(500))
		l.watcher = l.cache.Watcher()
		next := l.cache.Snapshot().Revision() + 1
		opts = append(opts, clientv3.WithPrefix(), clientv3.WithRev(next))
		l.watch = &randomwatch.Log{}
		go l.follow(l.watcher.Watch(t.Context(), "a/", opts...))
		synctest.Wait()
		l.cluster.Member(1).Lag(lag)
		l.put = mustPut(t, l.server, "a/x", "1")
		_, err := l.server.Delete(t.Context(), "a/x")
		require.NoError(t, err)
		s, err := l.cache.Fresh(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, l.put+1, s.Revision(), "a proof was faster than the watch")
		f(l)
	})
}

// requireAll waits, and requires that the watch has then delivered the creation and the deletion of
// a/x.
func (l *late) requireAll(wait time.Duration) {
	l.Helper()
	time.Sleep(wait)
	synctest.Wait()
	require.NoError(l, l.watch.Err)
	require.Empty(l, l.watch.Torn)
	require.Empty(l, l.behind)
	require.GreaterOrEqual(l, len(l.watch.Events), 2)
	for i, ev := range l.watch.Events[:2] {
		require.Equal(l, "a/x", string(ev.Kv.Key))
		require.Equal(l, l.put+int64(i), ev.Kv.ModRevision)
	}
}

// TestThePastBehindAProofIsReadFromTheServer reads a key at the revision of its creation. The
// server answers while the lagging watch has not delivered the creation, and memory answers after
// that.
func TestThePastBehindAProofIsReadFromTheServer(t *testing.T) {
	whileLate(t, 20*time.Second, func(l *late) {
		kv := l.cache.KV()
		get := clientv3.OpGet("a/x", clientv3.WithRev(l.put))
		read := func() {
			got, err := kv.Get(l.Context(), "a/x", clientv3.WithRev(l.put))
			require.NoError(l, err)
			require.EqualValues(l, 1, got.Count)
			txn, err := kv.Txn(l.Context()).Then(get).Commit()
			require.NoError(l, err)
			require.EqualValues(l, 1, txn.Responses[0].GetResponseRange().Count)
			stream, err := kv.GetStream(l.Context(), "a/x", clientv3.WithRev(l.put))
			require.NoError(l, err)
			streamed, err := clientv3.GetStreamToGetResponse(stream)
			require.NoError(l, err)
			require.EqualValues(l, 1, streamed.Count)
		}
		read()
		l.requireAll(time.Minute)
		before := l.cluster.Calls("Txn")
		read()
		require.Equal(l, before, l.cluster.Calls("Txn"), "from memory")
	})
}

// TestProgressComesAfterLateEvents shows that a watch gets no notice of progress with a revision
// whose events it has not got yet. That holds for periodic notices and for those that the caller
// has requested.
func TestProgressComesAfterLateEvents(t *testing.T) {
	whileLate(t, time.Hour, func(l *late) {
		require.NoError(l, l.watcher.RequestProgress(l.Context()))
		l.requireAll(61 * time.Minute)
		require.Less(l, l.watch.Notices[0], l.put, "one that comes from time to time")
		require.Contains(l, l.watch.Notices, l.put+1, "the one that was asked for")
	}, clientv3.WithProgressNotify())
}

// TestLateEventsAreNotLost shows that a consumer's watch gets the events of a/x, which come after
// the cache has already shown a later revision. It gets them even if the cache lists its range
// again, opens its own watch again, or ends before they arrive.
func TestLateEventsAreNotLost(t *testing.T) {
	for name, disturb := range map[string]func(l *late){
		"a list": func(l *late) { l.cache.startOver("of the test") },
		"another watch": func(l *late) {
			restore := l.cluster.LoseLeader()
			time.Sleep(time.Second)
			restore()
		},
		"an end": func(l *late) {
			mustPut(l.T, l.server, "a/large", strings.Repeat("x", 1000))
			l.cache.end(ErrTooLarge)
		},
	} {
		t.Run(name, func(t *testing.T) {
			whileLate(t, 20*time.Second, func(l *late) {
				disturb(l)
				l.requireAll(5 * time.Minute)
			})
		})
	}
}
