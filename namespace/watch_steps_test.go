package namespace_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watched is what one watch has delivered.
type watched struct {
	events  []*mvccpb.Event
	groups  []int // the number of events in each response, -1 for a Created response
	compact int64
	err     error
}

// watchOptions chooses options for a watch. If the parameter now is positive, the watch begins at a
// revision from 1 to now. Otherwise it begins with the next event. It never begins at a future
// revision.
func (c *choices) watchOptions(now int64) *options {
	o := &options{}
	c.ranges(o)
	if now > 0 {
		rev := 1 + int64(c.n(int(now)))
		o.addAt(func(offset int64) clientv3.OpOption {
			return clientv3.WithRev(at(rev, offset))
		}, "rev %d", rev)
	}
	for _, flag := range []struct {
		name string
		opt  clientv3.OpOption
	}{
		{"previous", clientv3.WithPrevKV()}, {"no puts", clientv3.WithFilterPut()},
		{"no deletes", clientv3.WithFilterDelete()}, {"fragments", clientv3.WithFragment()},
		{"progress", clientv3.WithProgressNotify()}, {"created", clientv3.WithCreatedNotify()},
	} {
		if c.oneIn(3) {
			o.add(flag.opt, "%s", flag.name)
		}
	}
	return o
}

// watchBoth opens n random watches, each in the model and in the namespace. It passes the parameter
// now, the latest revision at which a watch may begin, to watchOptions. The returned function
// compares what the model and the namespace have delivered.
func (w *world) watchBoth(t *testing.T, c *choices, n int, now int64) (compare func()) {
	t.Helper()
	ctx := t.Context()
	var open []func(now int64)
	for range n {
		key, o := c.key(), c.watchOptions(now)
		text := fmt.Sprintf("prefix %q: watch %q%s", w.prefix, key, o.text)
		model := w.model.Watch(ctx, key, o.at(0)...)
		inside := w.watcher.Watch(ctx, key, o.at(w.offset)...)
		open = append(open, func(now int64) {
			want := history(ctx, t, w.model.Watcher, model, now, text)
			got := history(ctx, t, w.watcher, inside, now+w.offset, text)
			w.sameWatch(t, want, got, text)
		})
	}
	return func() {
		t.Helper()
		now := w.now(t)
		for _, compare := range open {
			compare(now)
		}
	}
}

// now returns the current revision of the model, the fake server that results are compared with.
func (w *world) now(t *testing.T) int64 {
	t.Helper()
	resp, err := w.model.Get(t.Context(), "a")
	require.NoError(t, err)
	return resp.Header.Revision
}

func (w *world) sameWatch(t *testing.T, want, got watched, text string) {
	t.Helper()
	require.Equal(t, want.err, got.err, text)
	require.Equal(t, want.groups, got.groups, text)
	require.Equal(t, want.compact, got.compact-min(w.offset, got.compact), text)
	for i, event := range got.events {
		normalize(event.ProtoReflect(), w.offset)
		require.True(t, proto.Equal(want.events[i], event), "%s\nmodel:     %v\nnamespace: %v",
			text, want.events[i], event)
	}
}

// history collects the responses of a watch until the watch ends, or until a progress notice shows
// that all events up to the revision in the parameter now have been delivered.
func history(
	ctx context.Context, t *testing.T, watcher clientv3.Watcher, responses clientv3.WatchChan,
	now int64, text string,
) (got watched) {
	t.Helper()
	for {
		resp, ok := next(ctx, t, watcher, responses)
		require.True(t, ok, text)
		switch err := resp.Err(); {
		case err != nil:
			got.err, got.compact = err, resp.CompactRevision
			return got
		case resp.Created:
			got.groups = append(got.groups, -1)
		case !resp.IsProgressNotify():
			got.events = append(got.events, resp.Events...)
			got.groups = append(got.groups, len(resp.Events))
		case resp.Header.Revision >= now:
			return got
		}
	}
}

// next returns the next response of a watch. It requests progress until a response arrives.
func next(
	ctx context.Context, t *testing.T, watcher clientv3.Watcher, responses clientv3.WatchChan,
) (resp clientv3.WatchResponse, ok bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case resp, ok = <-responses:
			return true
		default:
			err := watcher.RequestProgress(ctx)
			return err != nil && ctx.Err() != nil
		}
	}, waitFor, tick)
	return resp, ok
}
