package cache

import (
	"context"
	"runtime"
	"testing"
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

// TestAnEndedWatchIsForgotten shows that a Watcher does not keep the context of a watch on the
// server that has ended.
func TestAnEndedWatchIsForgotten(t *testing.T) {
	client := etcdfake.New(t).Client()
	client.Watcher = endingWatcher{client.Watcher}
	w := synced(t, client, "a/").Watcher()
	defer w.Close()
	type key struct{}
	value := new([100]byte)
	kept := weak.Make(value)
	for range w.Watch(context.WithValue(context.Background(), key{}, value), "b") {
	}
	runtime.GC()
	require.True(t, kept.Value() == nil)
}

// TestABoundContextEndsWithAnother shows that a context has the values of one and the end of
// another, and that contexts derived from it end, too.
func TestABoundContextEndsWithAnother(t *testing.T) {
	type key struct{}
	end, cancel := context.WithCancel(context.Background())
	var ctx context.Context = boundContext{end: end,
		Context: context.WithValue(context.Background(), key{}, "value")}
	derived, stop := context.WithCancel(ctx)
	defer stop()
	require.Equal(t, "value", derived.Value(key{}))
	require.NoError(t, derived.Err())
	cancel()
	<-derived.Done()
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	require.ErrorIs(t, derived.Err(), context.Canceled)
}
