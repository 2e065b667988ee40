package cache

import (
	"context"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// endingWatcher is a Watcher whose watches of the key b the server ends at once.
type endingWatcher struct{ clientv3.Watcher }

func (w endingWatcher) Watch(
	ctx context.Context, key string, opts ...clientv3.OpOption,
) clientv3.WatchChan {
	if key != "b" {
		return w.Watcher.Watch(ctx, key, opts...)
	}
	ch := make(chan clientv3.WatchResponse)
	close(ch)
	return ch
}

// TestAnEndedWatchIsForgotten shows that a cache's Watcher drops the context of a watch when the
// server has ended the watch, even if the parent of that context has not ended.
func TestAnEndedWatchIsForgotten(t *testing.T) {
	client := etcdfake.New(t).Client()
	client.Watcher = endingWatcher{client.Watcher}
	w := synced(t, client, "a/").Watcher()
	defer w.Close()
	living, cancel := context.WithCancel(context.Background())
	defer cancel()
	type key struct{}
	for name, parent := range map[string]context.Context{
		"a parent that never ends": context.Background(), "a parent that has not ended": living,
	} {
		value := new([100]byte)
		kept := weak.Make(value)
		for range w.Watch(context.WithValue(parent, key{}, value), "b") {
		}
		require.Eventually(t, func() bool {
			runtime.GC()
			return kept.Value() == nil
		}, 10*time.Second, time.Millisecond, name)
	}
}

// TestWatchesOnTheServerEndWithTheirWatcher shows that Close of a Watcher closes the channels of
// watches of a key outside of the cache's range, and of watches that are opened later.
func TestWatchesOnTheServerEndWithTheirWatcher(t *testing.T) {
	inBubble(t, func(t *testing.T, cluster *etcdfake.Cluster, c *Cache) {
		w := c.Watcher()
		unread, ended := w.Watch(t.Context(), "b"), w.Watch(t.Context(), "b")
		mustPut(t, c.client, "b", "")
		require.Len(t, (<-ended).Events, 1)
		require.NoError(t, w.Close())
		for name, ch := range map[string]clientv3.WatchChan{
			"not read": unread, "read": ended, "opened after Close": w.Watch(t.Context(), "b"),
		} {
			select {
			case _, open := <-ch:
				require.False(t, open, name)
			default:
				require.Fail(t, "the channel is not closed", name)
			}
		}
	})
}
