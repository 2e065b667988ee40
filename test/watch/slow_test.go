package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// heapMiB is the heap in use after a collection.
func heapMiB() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc >> 20)
}

// putMany makes n changes of a hundred keys with values of the given size, a transaction for each
// hundred, many at a time. It returns the revision before the first; the following ones have a
// hundred changes each.
func putMany(t *testing.T, cluster *etcdtest.Cluster, prefix string, n, size int) (before int64) {
	t.Helper()
	c := newWatchClient(t, cluster.Endpoints()...)
	before = put(t, c, "before", "")
	const perTxn = 100
	var wg sync.WaitGroup
	limit := make(chan struct{}, 16)
	for i := 0; i < n; i += perTxn {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			ops := make([]clientv3.Op, 0, perTxn)
			for j := range perTxn {
				ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%03d", prefix, j),
					string(bytes.Repeat([]byte{'x'}, size))))
			}
			_, err := c.Txn(context.Background()).Then(ops...).Commit()
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	return before
}

// TestTwoHundredThousandUnreadEventsCostBoundedMemory: a consumer that reads nothing costs bounded
// memory, its sibling waits for nothing, and in the end it reads all, in order, once.
func TestTwoHundredThousandUnreadEventsCostBoundedMemory(t *testing.T) {
	const events, size = 200_000, 200
	cluster := etcdtest.Start(t)
	c := newWatchClient(t, cluster.Endpoints()...)
	slow := c.Watch(t.Context(), "slow/", clientv3.WithPrefix())
	sibling := c.Watch(t.Context(), "sibling")
	heap := heapMiB()
	before := putMany(t, cluster, "slow/", events, size)
	best := patience
	for range 5 {
		// the writers have only just stopped, and the server may be busy with what they left
		begin := time.Now()
		put(t, c, "sibling", "1")
		require.NoError(t, nextWithEvents(t, sibling))
		best = min(best, time.Since(begin))
	}
	assert.Less(t, best, 100*time.Millisecond)
	grown := heapMiB() - heap
	t.Logf("heap growth with %d events unread: %d MiB", events, grown)
	assert.Less(t, grown, int64(32))

	var keys [100]string
	for i := range keys {
		keys[i] = fmt.Sprintf("slow/%03d", i)
	}
	for got := 0; got < events; {
		wr := nextResponse(t, slow)
		require.NoError(t, wr.Err())
		require.NotEmpty(t, wr.Events)
		for _, e := range wr.Events {
			rev, key := before+1+int64(got/100), keys[got%100]
			if e.Kv.ModRevision != rev || string(e.Kv.Key) != key {
				require.Fail(t, "out of order", "event %d is %s at %d, want %s at %d", got,
					e.Kv.Key, e.Kv.ModRevision, key, rev)
			}
			got++
		}
	}
}

// TestWatchPausesAtItsBufferLimit: over its limit a watch is cancelled on the server, and created
// again where its consumer stopped.
func TestWatchPausesAtItsBufferLimit(t *testing.T) {
	for name, opt := range map[string]clientv3.OpOption{
		"responses": clientv3.WithWatchBuffer(0, 10),
		// a response with one small event counts for more than 400
		"bytes": clientv3.WithWatchBuffer(10*400, 0),
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			open := watchAsync(t.Context(), w, "k", opt)
			ss := s.session()
			ss.create()
			ss.created(0, 1)
			ch := open()
			for rev := range int64(50) {
				ss.events(0, rev+2)
			}
			assert.EqualValues(t, 0, ss.cancelled())
			assert.Empty(t, ss.reqs, "nothing is asked for while the consumer does not read")
			resumed := make(chan int64, 1)
			go func() { // ends with the request, or the stream
				if req := <-ss.reqs; req != nil {
					resumed <- req.GetCreateRequest().GetStartRevision()
				}
			}()
			for last := int64(1); ; last++ {
				select {
				case next := <-resumed:
					assert.Less(t, next, int64(20), "and more than the channel holds was kept")
					assert.Greater(t, next, int64(10))
					ss.created(1, 51)
					for ; last+1 < next; last++ {
						requireRevisions(t, ch, last+1)
					}
					ss.events(1, next, next+1)
					requireRevisions(t, ch, next, next+1)
					return
				case wr := <-ch:
					require.Equal(t, []int64{last + 1}, revisions(wr))
				}
			}
		})
	}
}

// TestFinalErrorArrivesHoweverSlowTheConsumer: what is buffered, then the error, then the end. The
// pause is short where the tests are; nothing depends on its length.
func TestFinalErrorArrivesHoweverSlowTheConsumer(t *testing.T) {
	s, w := newWatchScript(t)
	open := watchAsync(t.Context(), w, "k")
	ss := s.session()
	ss.create()
	ss.created(0, 1)
	ch := open()
	for rev := range int64(100) {
		ss.events(0, rev+2)
	}
	ss.say(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 101}, Canceled: true,
		CancelReason: "over"})
	<-ss.ctx.Done() // the last watch has ended, the stream is closed
	time.Sleep(500 * time.Millisecond)
	for rev := range int64(100) {
		requireRevisions(t, ch, rev+2)
	}
	assert.Equal(t, "over", requireLast(t, ch).CancelReason)
}

// TestWatchEndedAndAbandoned: a consumer that leaves with responses and the last error unread holds
// nothing once its context has ended. (goleak looks for the goroutine.)
func TestWatchEndedAndAbandoned(t *testing.T) {
	s, w := newWatchScript(t)
	ctx, cancel := context.WithCancel(t.Context())
	open := watchAsync(ctx, w, "k")
	ss := s.session()
	ss.create()
	ss.created(0, 1)
	ch := open()
	for rev := range int64(10) {
		ss.events(0, rev+2)
	}
	ss.say(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 101}, Canceled: true,
		CancelReason: "over"})
	<-ss.ctx.Done()
	cancel()
	require.Eventually(t, func() bool {
		for {
			select {
			case _, ok := <-ch:
				if !ok {
					return true
				}
			default:
				return false
			}
		}
	}, patience, time.Millisecond)
}

// TestCloseEndsWatches: every channel is closed at once, also of consumers that do not read, and
// later calls return at once.
func TestCloseEndsWatches(t *testing.T) {
	s := etcdfake.Start(t)
	c := newWatchClient(t, s.Addr())
	reading := c.Watch(t.Context(), "a")
	lagging := c.Watch(t.Context(), "b")
	for range 20 {
		put(t, c, "b", "x")
	}
	blocked := etcdfake.Start(t)
	blocked.Watch(func(ctx context.Context, _ func() (*pb.WatchRequest, error),
		_ func(*pb.WatchResponse) error) error {
		<-ctx.Done()
		return ctx.Err()
	})
	mute := newWatchClient(t, blocked.Addr())
	open := watchAsync(t.Context(), mute, "never answered")
	require.Eventually(t, func() bool {
		n, _ := blocked.Streams("Watch")
		return n == 1
	}, patience, time.Millisecond)

	begin := time.Now()
	require.NoError(t, c.Close())
	require.NoError(t, mute.Close())
	assert.Less(t, time.Since(begin), testclient.Slowdown*time.Second)
	wr := requireLast(t, reading)
	assert.ErrorIs(t, wr.Err(), context.Canceled)
	n := 0
	for range lagging {
		n++
	}
	assert.Less(t, n, 20, "Close does not wait for a slow consumer")
	for range open() {
	}
	requireClosed(t, c.Watch(t.Context(), "late"))
	require.NoError(t, c.Watcher.Close())
}

// TestWatchBufLog: the depth of the backlog is logged, about once a second, and only for those who
// asked.
func TestWatchBufLog(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	s := etcdfake.Start(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.New(core)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	silent := c.Watch(t.Context(), "a")
	ch := c.Watch(t.Context(), "b", clientv3.WithWatchBufLog())
	for range 100 {
		put(t, c, "a", "x")
	}
	assert.Empty(t, logs.FilterLevelExact(zapcore.WarnLevel).All())
	for range 100 {
		put(t, c, "b", "x")
	}
	for _, ch := range []clientv3.WatchChan{silent, ch} {
		for n := 0; n < 100; {
			n += len(nextResponse(t, ch).Events)
		}
	}
	entries := logs.FilterLevelExact(zapcore.WarnLevel).All()
	require.NotEmpty(t, entries)
	assert.LessOrEqual(t, len(entries), 1+int(patience/time.Second))
	assert.Positive(t, entries[0].ContextMap()["responses"])
	assert.Positive(t, entries[0].ContextMap()["bytes"])
}

// TestCancelledWatchesLogNothing: nothing is logged, at any level, for watches that begin and end.
func TestCancelledWatchesLogNothing(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	s := etcdfake.Start(t)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()}, Logger: zap.New(core)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := c.Watch(ctx, "a")
		cancel()
		requireClosed(t, ch)
	}
	assert.Empty(t, logs.All())
}
