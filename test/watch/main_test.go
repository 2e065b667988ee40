// Package watch_test shows what watches deliver, through every kind of fault, and what they cost.
package watch_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// shared is the cluster of all tests that need no options and stop no member.
var shared etcdtest.Shared

func TestMain(m *testing.M) {
	// Parallel tests wait most of their time, so more may run at once than there are processors.
	_ = flag.Set("test.parallel", "8")
	goleak.VerifyTestMain(shared.Around(m))
}

// patience is how long these tests wait for a condition before they fail.
const patience = time.Minute

// newClient returns a client of the given endpoints, closed with the test.
func newClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	return testclient.New(tb, clientv3.Config{Endpoints: endpoints})
}

// nextResponse receives one response.
func nextResponse(tb testing.TB, ch clientv3.WatchChan) clientv3.WatchResponse {
	tb.Helper()
	select {
	case wr, ok := <-ch:
		require.True(tb, ok, "the channel is closed")
		return wr
	case <-time.After(patience):
		require.Fail(tb, "no response")
		panic("unreachable")
	}
}

// requireEvents receives a response with events.
func requireEvents(tb testing.TB, ch clientv3.WatchChan, msg ...any) {
	tb.Helper()
	wr := nextResponse(tb, ch)
	require.NoError(tb, wr.Err(), msg...)
	require.NotEmpty(tb, wr.Events, msg...)
}

// nextEvent receives a response with one event and returns it as "type key=value@revision".
func nextEvent(tb testing.TB, ch clientv3.WatchChan) string {
	tb.Helper()
	wr := nextResponse(tb, ch)
	require.NoError(tb, wr.Err())
	require.Len(tb, wr.Events, 1)
	return eventString(wr.Events[0])
}

func eventString(e *clientv3.Event) string {
	return fmt.Sprintf("%s %s=%s@%d", e.Type, e.Kv.Key, e.Kv.Value, e.Kv.ModRevision)
}

// requireClosed waits until ch is closed, and fails if a response arrives first.
func requireClosed(tb testing.TB, ch clientv3.WatchChan) {
	tb.Helper()
	select {
	case wr, ok := <-ch:
		require.False(tb, ok, "another response: %+v", wr)
	case <-time.After(patience):
		require.Fail(tb, "the channel is still open")
	}
}

// concurrently calls the function do with each number below n, in the given number of goroutines,
// and waits for all calls.
func concurrently(goroutines, n int, do func(i int)) {
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < n; i += goroutines {
				do(i)
			}
		})
	}
	wg.Wait()
}

// put puts the key and returns the revision of the put.
func put(tb testing.TB, c *clientv3.Client, key, value string) int64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := c.Put(ctx, key, value)
	require.NoError(tb, err)
	return resp.Header.Revision
}
