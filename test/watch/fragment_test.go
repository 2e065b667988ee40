package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// newLimitedClient returns a client that receives messages up to a limit.
func newLimitedClient(t *testing.T, limit int) *clientv3.Client {
	return testclient.Open(t, shared.Cluster(), func(cfg *clientv3.Config) {
		cfg.MaxCallRecvMsgSize = limit
	})
}

// TestWatchCatchesUpUnderAReceiveLimit: a watch has missed more events than the client can receive
// in one message. The watch gets each event once. Another watch on the stream goes on.
func TestWatchCatchesUpUnderAReceiveLimit(t *testing.T) {
	const events = 60
	writer := testclient.Open(t, shared.Cluster())
	value := string(bytes.Repeat([]byte("x"), 100<<10))
	first := put(t, writer, "big/00", value)
	for i := 1; i < events; i++ {
		put(t, writer, fmt.Sprintf("big/%02d", i), value)
	}
	c := newLimitedClient(t, 4<<20)
	sibling := c.Watch(t.Context(), "sibling")
	ch := c.Watch(t.Context(), "big/", clientv3.WithPrefix(), clientv3.WithRev(first))
	for next := first; next < first+events; {
		wr := nextResponse(t, ch)
		require.NoError(t, wr.Err())
		for _, e := range wr.Events {
			require.Equal(t, next, e.Kv.ModRevision)
			next++
		}
	}
	put(t, writer, "sibling", "1")
	requireEvents(t, sibling)
}

// TestMessageOverTheLimitEndsNoSibling: an event that is larger than the client can receive ends
// the watch that the event is for. The other watches on the stream go on.
func TestMessageOverTheLimitEndsNoSibling(t *testing.T) {
	for name, limit := range map[string]int{"fragments are of no use": 1 << 20,
		"with the previous value": 3_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer := testclient.Open(t, shared.Cluster())
			c := newLimitedClient(t, limit)
			big := fmt.Sprint("big", limit)
			siblingKey := func(i int) string { return fmt.Sprint("sibling", limit, "/", i) }
			var siblings []clientv3.WatchChan
			for i := range 2 {
				siblings = append(siblings, c.Watch(t.Context(), siblingKey(i)))
			}
			ch := c.Watch(t.Context(), big, clientv3.WithPrevKV())
			for i := range 2 {
				siblings = append(siblings, c.Watch(t.Context(), siblingKey(i+2)))
			}
			value := string(bytes.Repeat([]byte("x"), 1_570_000))
			if limit < 2<<20 {
				value = value[:1_200_000]
			}
			// From the second put on, the event has the previous value too, so its size is twice
			// that of the value.
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err := writer.Put(ctx, big, value)
				cancel()
				require.NoError(t, err)
			}
			var last clientv3.WatchResponse
			for last.Err() == nil {
				last = nextResponse(t, ch)
			}
			assert.Equal(t, codes.ResourceExhausted, status.Code(last.Err()), "%v", last.Err())
			requireClosed(t, ch)
			for i, sibling := range siblings {
				put(t, writer, siblingKey(i), "1")
				requireEvents(t, sibling)
			}
		})
	}
}

// TestPausedWatchesCatchUpInBoundedMemory: the consumers of four watches read nothing while 900
// large values are written, and then read a few of the events. The heap grows by about the buffer
// limits of the four watches.
func TestPausedWatchesCatchUpInBoundedMemory(t *testing.T) {
	const watches, events = 4, 900
	c, writer := testclient.Open(t, shared.Cluster()), testclient.Open(t, shared.Cluster())
	var chans []clientv3.WatchChan
	for range watches {
		chans = append(chans, c.Watch(t.Context(), "k/", clientv3.WithPrefix()))
	}
	heap := heapMiB()
	value := string(bytes.Repeat([]byte("x"), 128<<10))
	first := put(t, writer, "before", "") + 1
	concurrently(16, events, func(i int) {
		_, err := writer.Put(t.Context(), fmt.Sprintf("k/%02d", i%10), value)
		assert.NoError(t, err)
	})
	read := make([]int64, watches)
	take := func(i int) {
		wr := nextResponse(t, chans[i])
		require.NoError(t, wr.Err())
		for _, e := range wr.Events {
			require.Equal(t, first+read[i], e.Kv.ModRevision)
			read[i]++
		}
	}
	for i := range chans {
		for read[i] < 66 { // after this many events the client resumes the paused watch
			take(i)
		}
	}
	grown := settledHeapMiB() - heap // includes what the resumed watches have received
	t.Logf("heap growth: %d MiB", grown)
	assert.Less(t, grown, int64(80))
	for i := range chans {
		for read[i] < events {
			take(i)
		}
	}
}

// settledHeapMiB returns the heap when it has not changed for a second. Until then the transport
// also holds messages that are on their way to a watch.
func settledHeapMiB() int64 {
	for before := int64(-1); ; {
		time.Sleep(time.Second)
		heap := heapMiB()
		if heap == before {
			return heap
		}
		before = heap
	}
}
