package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap/zapcore"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// heapMiB returns the heap in use after a collection.
func heapMiB() int64 { return heapBytes() >> 20 }

// heapBytes returns the heap in use after a collection.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// perTxn is the number of puts in each of putMany's transactions.
const perTxn = 8

// putMany makes n puts with values of the given size, in many concurrent transactions. Each
// transaction puts the keys prefix+"0", prefix+"1" and so on. putMany returns the revision before
// the first transaction.
func putMany(t *testing.T, prefix string, n, size int) (before int64) {
	t.Helper()
	c := testclient.Open(t, shared.Cluster())
	before = put(t, c, "before", "")
	value := string(bytes.Repeat([]byte{'x'}, size))
	concurrently(64, n/perTxn, func(int) {
		ops := make([]clientv3.Op, 0, perTxn)
		for i := range perTxn {
			ops = append(ops, clientv3.OpPut(fmt.Sprint(prefix, i), value))
		}
		_, err := c.Txn(t.Context()).Then(ops...).Commit()
		assert.NoError(t, err)
	})
	return before
}

// TestTwoHundredThousandUnreadEventsCostBoundedMemory: a watch whose consumer reads nothing costs
// bounded memory and delays no other watch. When the consumer reads at last, it gets all events, in
// order, once.
func TestTwoHundredThousandUnreadEventsCostBoundedMemory(t *testing.T) {
	const events, size = 200_000, 200
	c := testclient.Open(t, shared.Cluster())
	slow := c.Watch(t.Context(), "slow/", clientv3.WithPrefix())
	sibling := c.Watch(t.Context(), "sibling")
	heap := heapMiB()
	before := putMany(t, "slow/", events, size)
	best := patience
	for range 5 {
		// the server may still be busy with what the writers wrote last
		took := testclient.Stopwatch(t)
		put(t, c, "sibling", "1")
		requireEvents(t, sibling)
		best = min(best, took())
	}
	assert.Less(t, best, 100*time.Millisecond)
	grown := heapMiB() - heap
	t.Logf("heap growth with %d events unread: %d MiB", events, grown)
	assert.Less(t, grown, int64(32))

	var keys [perTxn]string
	for i := range keys {
		keys[i] = fmt.Sprint("slow/", i)
	}
	for got := 0; got < events; {
		wr := nextResponse(t, slow)
		require.NoError(t, wr.Err())
		require.NotEmpty(t, wr.Events)
		for _, e := range wr.Events {
			rev, key := before+1+int64(got/perTxn), keys[got%perTxn]
			if e.Kv.ModRevision != rev || string(e.Kv.Key) != key {
				require.Fail(t, "out of order", "event %d is %s at %d, want %s at %d", got,
					e.Kv.Key, e.Kv.ModRevision, key, rev)
			}
			got++
		}
	}
}

// TestWatchPausesAtItsBufferLimit: when the unread events of a watch exceed its buffer limit, the
// client cancels the watch on the server. Later the client creates the watch again, from the
// revision that the consumer has reached.
func TestWatchPausesAtItsBufferLimit(t *testing.T) {
	for name, opt := range map[string]clientv3.OpOption{
		"responses": clientv3.WithWatchBuffer(0, 10),
		// a response with one small event counts as more than 400 bytes
		"bytes": clientv3.WithWatchBuffer(10*400, 0),
	} {
		t.Run(name, func(t *testing.T) {
			s, w := newWatchScript(t)
			ss, ch := s.watch(t.Context(), w, "k", 0, opt)
			for rev := range int64(50) {
				ss.events(0, rev+2)
			}
			assert.EqualValues(t, 0, ss.cancelled())
			assert.Empty(t, ss.reqs, "no request while the consumer does not read")
			resumed := make(chan int64, 1)
			go func() { // ends when it receives a request or the stream ends
				if req := <-ss.reqs; req != nil {
					resumed <- req.GetCreateRequest().GetStartRevision()
				}
			}()
			for last := int64(1); ; last++ {
				select {
				case next := <-resumed:
					assert.Less(t, next, int64(20), "from within the buffered revisions")
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

// TestFinalErrorArrivesHoweverSlowTheConsumer: the server ends a watch whose consumer reads nothing
// for an hour. Then the consumer gets the buffered events, the error, and the end of the channel.
func TestFinalErrorArrivesHoweverSlowTheConsumer(t *testing.T) {
	synctest.Test(t, finalErrorOfASlowConsumer)
}

func finalErrorOfASlowConsumer(t *testing.T) {
	s, w := newWatchScript(t)
	ss, ch := s.watch(t.Context(), w, "k", 0)
	for rev := range int64(100) {
		ss.events(0, rev+2)
	}
	ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 101}, Canceled: true,
		CancelReason: "over"})
	<-ss.ctx.Done()       // the last watch has ended, the stream is closed
	time.Sleep(time.Hour) // virtual time
	for rev := range int64(100) {
		requireRevisions(t, ch, rev+2)
	}
	assert.Equal(t, "over", requireLast(t, ch).CancelReason)
}

// TestWatchEndedAndAbandoned: a consumer leaves events and the last error unread. When the watch's
// context has ended, no goroutine of the watch is left. Otherwise goleak would report the
// goroutine.
func TestWatchEndedAndAbandoned(t *testing.T) {
	s, w := newWatchScript(t)
	ctx, cancel := context.WithCancel(t.Context())
	ss, ch := s.watch(ctx, w, "k", 0)
	for rev := range int64(10) {
		ss.events(0, rev+2)
	}
	ss.respond(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 101}, Canceled: true,
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

// TestCloseEndsWatches: Close closes the channels of all watches without delay: of a watch that is
// read, of one that is not read, and of one that the server has not confirmed. Later calls of Watch
// return a closed channel.
func TestCloseEndsWatches(t *testing.T) {
	_, c := testclient.StartFake(t, clientv3.Config{})
	reading := c.Watch(t.Context(), "a")
	lagging := c.Watch(t.Context(), "b")
	for range 20 {
		put(t, c, "b", "x")
	}
	blocked, waiting := testclient.StartFake(t, clientv3.Config{})
	blocked.Watch(func(ctx context.Context, _ func() (*pb.WatchRequest, error),
		_ func(*pb.WatchResponse) error) error {
		<-ctx.Done()
		return ctx.Err()
	})
	open := watchAsync(t.Context(), waiting, "never confirmed")
	require.Eventually(t, func() bool {
		n, _ := blocked.Streams("Watch")
		return n == 1
	}, patience, time.Millisecond)

	closing := testclient.Stopwatch(t)
	require.NoError(t, c.Close())
	require.NoError(t, waiting.Close())
	assert.Less(t, closing(), time.Second)
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

// TestWatchBufLog: for a watch with WithWatchBufLog the client logs how much is buffered, once a
// second at most. For other watches it logs nothing.
func TestWatchBufLog(t *testing.T) {
	logger, logs := testclient.Observed(zapcore.DebugLevel)
	_, c := testclient.StartFake(t, clientv3.Config{Logger: logger})
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

// TestCancelledWatchesLogNothing: the client logs nothing, at any level, for watches that begin and
// end.
func TestCancelledWatchesLogNothing(t *testing.T) {
	logger, logs := testclient.Observed(zapcore.DebugLevel)
	_, c := testclient.StartFake(t, clientv3.Config{Logger: logger})
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := c.Watch(ctx, "a")
		cancel()
		requireClosed(t, ch)
	}
	assert.Empty(t, logs.All())
}
