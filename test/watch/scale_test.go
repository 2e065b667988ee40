package watch_test

import (
	"context"
	"fmt"
	"io"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

const manyWatches = 10_000

// openWatches opens n watches of keys "w/0", "w/1", …, many at a time, and returns their channels
// in this order.
func openWatches(ctx context.Context, w clientv3.Watcher, n int) []clientv3.WatchChan {
	chans := make([]clientv3.WatchChan, n)
	concurrently(100, n, func(i int) { chans[i] = w.Watch(ctx, fmt.Sprintf("w/%d", i)) })
	return chans
}

// clientGoroutines counts the goroutines that run code of the client, without those of tests and
// fake servers.
func clientGoroutines(tb testing.TB) int {
	tb.Helper()
	var dump strings.Builder
	require.NoError(tb, pprof.Lookup("goroutine").WriteTo(&dump, 2))
	n := 0
	for stack := range strings.SplitSeq(dump.String(), "\n\n") {
		client := false
		for _, of := range []string{"client/v3.(*", "internal/bidi.", "internal/outbox.",
			"internal/watchmux."} {
			client = client || strings.Contains(stack, of)
		}
		if client && !strings.Contains(stack, "_test.") && !strings.Contains(stack, "etcdfake.") {
			n++
		}
	}
	return n
}

// TestTenThousandWatches: with ten thousand watches on a real server, a client runs at most four
// goroutines and uses little memory. All watches resume after the connection is cut. Close ends the
// watches in less time than it took to open them.
func TestTenThousandWatches(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	cluster := etcdtest.Start(t)
	proxy := faultnet.New(t, cluster.Members()[0].Address())
	c, other := newClient(t, proxy.Addr()), testclient.Open(t, cluster)
	warm := c.Watch(t.Context(), "warm")
	put(t, other, "warm", "")
	requireEvents(t, warm)
	before := clientGoroutines(t)
	heap := heapBytes()

	begin := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	chans := openWatches(ctx, c, manyWatches)
	opened := time.Since(begin)
	perWatch := (heapBytes() - heap) / manyWatches
	goroutines := clientGoroutines(t)
	t.Logf("opened in %v; %d bytes each; %d goroutines of the client, %d with one watch", opened,
		perWatch, goroutines, before)
	assert.LessOrEqual(t, goroutines, 4)
	assert.LessOrEqual(t, perWatch, int64(1536))

	proxy.Reset()
	begin = time.Now()
	for i := 0; i < manyWatches; i += manyWatches / 10 {
		put(t, other, fmt.Sprintf("w/%d", i), "x")
		put(t, other, fmt.Sprintf("w/%d", i+manyWatches/10-1), "x")
	}
	for i := 0; i < manyWatches; i += manyWatches / 10 {
		requireEvents(t, chans[i])
		requireEvents(t, chans[i+manyWatches/10-1])
	}
	t.Logf("after a cut, events reached the first and the last within %v", time.Since(begin))
	require.Eventually(t, func() bool {
		n, err := cluster.Members()[0].Metric("etcd_debugging_mvcc_watcher_total")
		return err == nil && n == manyWatches+1
	}, patience, 20*time.Millisecond)

	closing := testclient.Stopwatch(t)
	require.NoError(t, c.Close())
	assert.Less(t, closing(), opened)
	for _, ch := range chans {
		for range ch {
		}
	}
}

// TestCloseWhileThousandsResume: the client is closed while thousands of watches resume, and the
// contexts of half of them end. Close returns, and each channel is closed once.
func TestCloseWhileThousandsResume(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	half, cancel := context.WithCancel(t.Context())
	a := openWatches(half, c, manyWatches/2)
	b := openWatches(t.Context(), c, manyWatches/2)
	s.Break("Watch", errCut)
	require.Eventually(t, func() bool {
		_, total := s.Streams("Watch")
		return total > 1
	}, patience, time.Millisecond)
	var wg sync.WaitGroup
	wg.Go(cancel)
	wg.Go(func() { assert.NoError(t, c.Close()) })
	wg.Wait()
	for _, ch := range append(a, b...) {
		for range ch { // a second close would have panicked
		}
	}
}

// TestResumeWithAWindow: a thousand watches resume over a network with a round trip of a
// millisecond. If the server accepts watch ids that the client chooses, many create requests are in
// flight at a time. If the server chooses the ids itself, the watches resume one by one, and that
// takes more than four times as long.
func TestResumeWithAWindow(t *testing.T) {
	const watches = 1000
	resume := func(t *testing.T, opts ...etcdfake.Option) (took time.Duration, most int) {
		s := etcdfake.Start(t, opts...)
		proxy := faultnet.New(t, s.Addr())
		c := newClient(t, proxy.Addr())
		chans := openWatches(t.Context(), c, watches)
		_, streams := s.Streams("Watch")
		require.Equal(t, 1, streams)
		inflight := &inflightCounter{}
		s.Watch(inflight.serve(s))
		created := func() int { return inflight.answered() }
		proxy.Delay(500 * time.Microsecond)
		begin := time.Now()
		require.Equal(t, 1, s.Break("Watch", errCut))
		require.Eventually(t, func() bool {
			return created() == watches
		}, 3*patience, time.Millisecond)
		took = time.Since(begin)
		proxy.Heal()
		put(t, c, "w/0", "x")
		put(t, c, fmt.Sprintf("w/%d", watches-1), "x")
		requireEvents(t, chans[0])
		requireEvents(t, chans[watches-1])
		return took, inflight.most()
	}
	window, many := resume(t)
	single, one := resume(t, etcdfake.WithOwnWatchIDs())
	t.Logf("%d watches resumed in %v with up to %d creates in flight, and in %v one by one",
		watches, window, many, single)
	assert.Greater(t, many, 16)
	assert.Equal(t, 1, one)
	assert.Less(t, window, single/4)
}

// inflightCounter counts the create requests that the server has received but not answered yet.
type inflightCounter struct {
	mu              sync.Mutex
	now, max, total int
}

func (i *inflightCounter) serve(s *etcdfake.Server) etcdfake.WatchHandler {
	return func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, func() (*pb.WatchRequest, error) {
			req, err := recv()
			if req.GetCreateRequest() != nil {
				i.count(1, 0)
			}
			return req, err
		}, func(resp *pb.WatchResponse) error {
			if resp.Created {
				i.count(-1, 1)
			}
			return send(resp)
		})
	}
}

func (i *inflightCounter) count(now, total int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now += now
	i.max = max(i.max, i.now)
	i.total += total
}

func (i *inflightCounter) answered() int { i.mu.Lock(); defer i.mu.Unlock(); return i.total }
func (i *inflightCounter) most() int     { i.mu.Lock(); defer i.mu.Unlock(); return i.max }

// BenchmarkWatchTenThousand opens ten thousand watches on one stream and closes them. The server is
// in the same process. The benchmark also reports the time per watch.
func BenchmarkWatchTenThousand(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		pipes := pipes.NewWatch(confirmAll)
		w := clientv3.NewWatchFromWatchClient(pipes, nil)
		openWatches(context.Background(), w, manyWatches)
		_ = w.Close()
		pipes.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyWatches, "ns/watch")
}

// confirmAll confirms every create request and sends nothing else.
func confirmAll(
	_ context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	for id := int64(0); ; id++ {
		req, err := recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if create := req.GetCreateRequest(); create != nil {
			if create.WatchId == 0 {
				create.WatchId = id
			}
			if err := send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1},
				WatchId: create.WatchId, Created: true}); err != nil {
				return err
			}
		}
	}
}

// BenchmarkWatchEvent measures how long one event takes from the server, which is in the same
// process, to the consumer.
func BenchmarkWatchEvent(b *testing.B) {
	events := make(chan struct{})
	pipes := pipes.NewWatch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		if _, err := recv(); err != nil {
			return err
		}
		_ = send(&pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1}, Created: true})
		rev := int64(1)
		for range events {
			rev++
			if err := send(eventsResponse(0, rev)); err != nil {
				return err
			}
		}
		return nil
	})
	w := clientv3.NewWatchFromWatchClient(pipes, nil)
	ch := w.Watch(context.Background(), "k")
	b.ReportAllocs()
	for b.Loop() {
		events <- struct{}{}
		<-ch
	}
	close(events)
	_ = w.Close()
	pipes.Close()
}
