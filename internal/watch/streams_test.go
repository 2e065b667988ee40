package watch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/metadata"
)

type valueKey struct{}

// TestWatchesShareAStreamByMetadata: only watches with equal outgoing metadata share a stream,
// because a stream sends its metadata to the server. Other context values may differ.
func TestWatchesShareAStreamByMetadata(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		pairs := func(kv ...string) context.Context {
			return metadata.AppendToOutgoingContext(ctx, kv...)
		}
		for i, c := range []struct {
			ctx     context.Context
			streams int
		}{
			{ctx, 1},
			{context.WithValue(ctx, valueKey{}, 1), 1},
			{pairs("a", "1", "b", "2"), 2},
			{pairs("b", "2", "a", "1"), 2},
			{pairs("A", "1", "b", "2"), 2},
			{pairs("a", "1", "a", "2"), 3},
			{pairs("a", "2", "a", "1"), 4}, // the order of values may matter to the server
			{pairs("a", "12"), 5},
			{pairs("a1", "2"), 6},
		} {
			w.watch(c.ctx, 0)
			assert.Equal(t, c.streams, len(w.seen().opened), "watch %d", i)
		}
		assert.Equal(t, []string{"1", "2"}, w.seen().metadata[2]["a"])
	})
}

func TestLastWatchClosesItsStream(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first, second := w.watch(t.Context(), 0), w.watch(t.Context(), 0)
		first.Cancel()
		synctest.Wait()
		open, _ := w.pipes.Streams()
		assert.Equal(t, 1, open)
		second.Cancel()
		third := w.watch(t.Context(), 0) // finds a stream that is ending
		assert.Equal(t, 1, third.created)
		after(linger)
		open, total := w.pipes.Streams()
		assert.Equal(t, []int{1, 2}, []int{open, total})
		third.Cancel()
		after(linger)
		assert.Empty(t, w.byKey)
		assert.NoError(t, w.RequestProgress(t.Context()), "there is no watch")
	})
}

// TestTheFirstContextsEndIsNotThatOfTheStream: a stream is opened with the values of its first
// watch's context. It is not opened again when that context ends.
func TestTheFirstContextsEndIsNotThatOfTheStream(t *testing.T) {
	var seen any
	inWorld(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), valueKey{}, "v"))
		w.watch(ctx, 0)
		cancel()
		after(time.Minute)
		assert.Len(t, w.seen().opened, 1)
		assert.Equal(t, "v", seen)
	}, func(cfg *Config) {
		open := cfg.Open
		cfg.Open = func(ctx context.Context) (Stream, error) {
			seen = ctx.Value(valueKey{})
			return open(ctx)
		}
	})
}

func TestRequestProgressFindsItsStream(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		other := metadata.AppendToOutgoingContext(t.Context(), "a", "b")
		assert.NoError(t, w.RequestProgress(t.Context()), "there is no watch")
		w.watch(other, 0)
		assert.Equal(t, ErrNoStream, w.RequestProgress(t.Context()))
		assert.NoError(t, w.RequestProgress(other))
		synctest.Wait()
		assert.Equal(t, 1, w.seen().questions())
		w.Close()
		assert.Equal(t, context.Canceled, w.RequestProgress(other))
	})
}

// TestCloseEndsAllWatches: after Close, every watch has ended with context.Canceled, and no watch
// can be added.
func TestCloseEndsAllWatches(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		watches := []*watched{w.watch(t.Context(), 0),
			w.watch(metadata.AppendToOutgoingContext(t.Context(), "a", "b"), 0)}
		w.locked(func() { w.silent = true })
		w.Close()
		for _, s := range watches {
			require.Len(t, s.ended(), 1)
			assert.Equal(t, context.Canceled, s.ended()[0].Err)
		}
		assert.Empty(t, w.byKey)
		s := &watched{}
		assert.False(t, w.Add(t.Context(), &s.Watch, &pb.WatchCreateRequest{}, s))
		w.Close()
	})
}

// TestBrokenStreamsAreOpenedAgainElsewhere: after a backoff, a broken stream is opened again on
// another member, and its watches resume.
func TestBrokenStreamsAreOpenedAgainElsewhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.watch(t.Context(), 0)
		w.event(11)
		w.end(rpctypes.ErrGRPCStopped)
		after(time.Second)
		assert.Len(t, w.seen().opened, 2)
		assert.GreaterOrEqual(t, w.seen().opened[1], 70*time.Millisecond)
		assert.Equal(t, 1, w.seen().avoided)
		require.Len(t, w.seen().broken, 1)
		assert.Equal(t, rpctypes.ErrStopped, rpctypes.Error(w.seen().broken[0]))
		w.event(12)
		assert.Equal(t, []int64{11, 12}, s.received())
		last := w.seen().requests[len(w.seen().requests)-1].GetCreateRequest()
		assert.EqualValues(t, 12, last.GetStartRevision())
		assert.Equal(t, 1, s.created)
	})
}

// TestLagsAreReportedOnce: the consumer's backlog is reported once after each response of the
// server. Of several noted backlogs, only the deepest is reported.
func TestLagsAreReportedOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		s := w.watch(t.Context(), 0)
		s.NoteBacklog(3, 300)
		s.NoteBacklog(2, 200)
		w.event(11)
		w.event(12)
		synctest.Wait()
		assert.Equal(t, []int{3}, w.seen().backlogs)
	})
}
