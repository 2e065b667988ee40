package watch_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// newLimitedClient returns a client that receives messages up to a limit.
func newLimitedClient(t *testing.T, cluster *etcdtest.Cluster, limit int) *clientv3.Client {
	c, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(),
		MaxCallRecvMsgSize: limit, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// TestWatchCatchesUpUnderAReceiveLimit: a watch that has missed more than the client can receive in
// one message gets all of it, each revision once, and its sibling lives.
func TestWatchCatchesUpUnderAReceiveLimit(t *testing.T) {
	const events = 60
	cluster := etcdtest.Start(t)
	writer := newWatchClient(t, cluster.Endpoints()...)
	value := string(bytes.Repeat([]byte("x"), 100<<10))
	first := put(t, writer, "big/00", value)
	for i := 1; i < events; i++ {
		put(t, writer, fmt.Sprintf("big/%02d", i), value)
	}
	c := newLimitedClient(t, cluster, 4<<20)
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
	require.NoError(t, nextWithEvents(t, sibling))
}

// TestMessageOverTheLimitEndsNoSibling: a change that is larger than the client can receive ends
// the watches that it is for, and no others of the stream.
func TestMessageOverTheLimitEndsNoSibling(t *testing.T) {
	for name, limit := range map[string]int{"fragments are of no use": 1 << 20,
		"with the previous value": 3_000_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t)
			writer := newWatchClient(t, cluster.Endpoints()...)
			c := newLimitedClient(t, cluster, limit)
			var siblings []clientv3.WatchChan
			for i := range 2 {
				siblings = append(siblings, c.Watch(t.Context(), fmt.Sprint("sibling", i)))
			}
			ch := c.Watch(t.Context(), "big", clientv3.WithPrevKV())
			for i := range 2 {
				siblings = append(siblings, c.Watch(t.Context(), fmt.Sprint("sibling", i+2)))
			}
			value := string(bytes.Repeat([]byte("x"), 1_570_000))
			if limit < 2<<20 {
				value = value[:1_200_000]
			}
			for range 3 { // with the previous value, the second is over three million bytes
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_, err := writer.Put(ctx, "big", value)
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
				put(t, writer, fmt.Sprint("sibling", i), "1")
				require.NoError(t, nextWithEvents(t, sibling))
			}
		})
	}
}

// TestPausedWatchesCatchUpInBoundedMemory: four watches whose consumers do not read, and then read
// a little of a long history, hold about as much as their buffers may.
func TestPausedWatchesCatchUpInBoundedMemory(t *testing.T) {
	const watches, events = 4, 900
	cluster := etcdtest.Start(t)
	c := newWatchClient(t, cluster.Endpoints()...)
	writer := newWatchClient(t, cluster.Endpoints()...)
	var chans []clientv3.WatchChan
	for range watches {
		chans = append(chans, c.Watch(t.Context(), "k/", clientv3.WithPrefix()))
	}
	heap := heapMiB()
	value := string(bytes.Repeat([]byte("x"), 128<<10))
	var first int64
	for i := range events {
		if rev := put(t, writer, fmt.Sprintf("k/%02d", i%10), value); i == 0 {
			first = rev
		}
	}
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
		for read[i] < 66 { // all that waits is in the channel then, so the watch resumes
			take(i)
		}
	}
	time.Sleep(time.Second) // what the server sends meanwhile counts
	grown := heapMiB() - heap
	t.Logf("heap growth: %d MiB", grown)
	assert.Less(t, grown, int64(80))
	for i := range chans {
		for read[i] < events {
			take(i)
		}
	}
}
