package clientv3_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// patience bounds every wait of these tests; nothing measures it.
const patience = 20 * time.Second

// newWatchClient returns a client of the given endpoints that logs nothing, closed with the test.
func newWatchClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, c.Close()) })
	return c
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

// requireClosed waits for the channel to be closed, and wants nothing else from it.
func requireClosed(tb testing.TB, ch clientv3.WatchChan) {
	tb.Helper()
	select {
	case wr, ok := <-ch:
		require.False(tb, ok, "another response: %+v", wr)
	case <-time.After(patience):
		require.Fail(tb, "the channel is still open")
	}
}

func put(tb testing.TB, c *clientv3.Client, key, value string) int64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := c.Put(ctx, key, value)
	require.NoError(tb, err)
	return resp.Header.Revision
}

func TestWatchOneKey(t *testing.T) {
	s := etcdfake.Start(t)
	c := newWatchClient(t, s.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	ch := c.Watch(ctx, "a")
	put(t, c, "b", "0")
	rev := put(t, c, "a", "1")
	assert.Equal(t, fmt.Sprintf("PUT a=1@%d", rev), nextEvent(t, ch))
	_, err := c.Delete(ctx, "a")
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("DELETE a=@%d", rev+1), nextEvent(t, ch))
	cancel()
	requireClosed(t, ch)
}

func TestWatchPrefixFromRevision(t *testing.T) {
	s := etcdfake.Start(t)
	c := newWatchClient(t, s.Addr())
	first := put(t, c, "p/1", "x")
	put(t, c, "p/2", "y")
	ch := c.Watch(t.Context(), "p/", clientv3.WithPrefix(), clientv3.WithRev(first))
	wr := nextResponse(t, ch)
	require.Len(t, wr.Events, 2)
	assert.Equal(t, fmt.Sprintf("PUT p/1=x@%d", first), eventString(wr.Events[0]))
	assert.Equal(t, fmt.Sprintf("PUT p/2=y@%d", first+1), eventString(wr.Events[1]))
}
