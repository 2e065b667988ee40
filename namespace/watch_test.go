package namespace_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/namespace"
)

// foreignWatcher hides the methods that a client's Watcher has in addition to those of the
// interface.
type foreignWatcher struct{ clientv3.Watcher }

// watchers are the kinds of inner Watcher that a namespace can have.
func watchers(client *clientv3.Client) map[string]clientv3.Watcher {
	return map[string]clientv3.Watcher{
		"watcher": namespace.NewWatcher(client.Watcher, "p/"),
		"client":  namespace.NewWatcher(client, "p/"),
		"nested":  namespace.NewWatcher(namespace.NewWatcher(client.Watcher, "p"), "/"),
		"foreign": namespace.NewWatcher(foreignWatcher{client.Watcher}, "p/"),
	}
}

func TestWatch(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	for name, w := range watchers(client) {
		t.Run(name, func(t *testing.T) {
			_, err := client.Delete(t.Context(), "", clientv3.WithPrefix())
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			responses := w.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithPrevKV(),
				clientv3.WithCreatedNotify())
			require.True(t, (<-responses).Created)
			for _, key := range []string{"p", "p/a", "p0", "p/a", "p/"} {
				_, err := client.Put(ctx, key, "v")
				require.NoError(t, err)
			}
			_, err = client.Delete(ctx, "p", clientv3.WithPrefix())
			require.NoError(t, err)
			var got []string
			for len(got) < 3 {
				for _, event := range (<-responses).Events {
					got = append(got, event.Type.String()+" "+string(event.Kv.Key)+" was "+string(
						event.GetPrevKv().GetKey()))
				}
			}
			assert.Equal(t, []string{"PUT a was ", "PUT a was a", "DELETE a was a"}, got)
			cancel()
			_, open := <-responses
			assert.False(t, open)
		})
	}
}

// TestTheFinalErrorArrives: the last response of a watch that starts before a compaction has the
// error ErrCompacted.
func TestTheFinalErrorArrives(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	var rev int64
	for range 3 {
		put, err := client.Put(t.Context(), "p/k", "v")
		require.NoError(t, err)
		rev = put.Header.Revision
	}
	_, err := client.Compact(t.Context(), rev)
	require.NoError(t, err)
	for name, w := range watchers(client) {
		t.Run(name, func(t *testing.T) {
			responses := w.Watch(t.Context(), "k", clientv3.WithRev(1))
			last := <-responses
			require.ErrorIs(t, last.Err(), rpctypes.ErrCompacted)
			require.Equal(t, rev, last.CompactRevision)
			_, open := <-responses
			require.False(t, open)
		})
	}
}

// TestEventsAreCopies: a server in the test's process can send the same events to two watches.
// Neither watch changes the events that the other one delivers.
func TestEventsAreCopies(t *testing.T) {
	shared := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 5}, Events: []*mvccpb.Event{{
		Type: mvccpb.Event_DELETE,
		Kv:   &mvccpb.KeyValue{Key: []byte("p/k"), ModRevision: 5},
		PrevKv: &mvccpb.KeyValue{Key: []byte("p/k"), Value: []byte("v"), CreateRevision: 2,
			ModRevision: 3, Version: 2, Lease: 7},
	}}}
	before := proto.CloneOf(shared)
	pipes := pipes.NewWatch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for id := int64(0); ; id++ {
			req, err := recv()
			if err != nil || req.GetCreateRequest() == nil {
				return err
			}
			resp := &pb.WatchResponse{Header: shared.Header, WatchId: id, Events: shared.Events}
			if err := errors.Join(send(&pb.WatchResponse{Header: shared.Header, WatchId: id,
				Created: true}), send(resp)); err != nil {
				return err
			}
		}
	})
	defer pipes.Close()
	plain := clientv3.NewWatchFromWatchClient(pipes, nil)
	w := namespace.NewWatcher(plain, "p/")
	defer func() { require.NoError(t, w.Close()) }()
	inside := <-w.Watch(t.Context(), "", clientv3.WithPrefix())
	whole := <-plain.Watch(t.Context(), "p/", clientv3.WithPrefix())
	require.Same(t, shared.Events[0], whole.Events[0])
	require.True(t, proto.Equal(before, shared), "shared events are as they were")
	require.NotSame(t, shared.Events[0], inside.Events[0])
	want := proto.CloneOf(shared.Events[0])
	want.Kv.Key, want.PrevKv.Key = []byte("k"), []byte("k")
	require.True(t, proto.Equal(want, inside.Events[0]))
}

// ownGoroutines counts the goroutines that run code of this package.
func ownGoroutines() int {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "namespace.(*relays).copy(")
}

// TestAWatchCostsNoGoroutine: on a client's Watcher no watch costs a goroutine; on another Watcher
// each costs one.
func TestAWatchCostsNoGoroutine(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	ws := watchers(client)
	for range 50 {
		for _, name := range []string{"watcher", "client", "nested"} {
			ws[name].Watch(t.Context(), "k")
		}
	}
	require.Zero(t, ownGoroutines())
	for range 50 {
		ws["foreign"].Watch(t.Context(), "k")
	}
	require.Eventually(t, func() bool {
		return ownGoroutines() == 50
	}, waitFor, tick, "one each where there is no other way")
}

// TestCloseEndsUnreadResponses: Close ends the goroutines of all watches, even if the program does
// not read their responses.
func TestCloseEndsUnreadResponses(t *testing.T) {
	client := newClient(t, cluster.Endpoints()...)
	w := namespace.NewWatcher(foreignWatcher{clientv3.NewWatcher(client)}, "p/")
	background := context.WithoutCancel(t.Context())
	unread := w.Watch(background, "k")
	ctx, cancel := context.WithCancel(t.Context())
	left := w.Watch(ctx, "k")
	for range 10 {
		_, err := client.Put(t.Context(), "p/k", "v")
		require.NoError(t, err)
	}
	cancel()
	for range left { // until the channel is closed; a response that was under way may come before
	}
	require.NoError(t, w.Close())
	for range unread {
	}
	_, open := <-w.Watch(background, "k")
	require.False(t, open, "after Close")
	require.NoError(t, w.Close())
	require.Zero(t, ownGoroutines())
}
