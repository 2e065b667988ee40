package recipe

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type anyQueue interface {
	Dequeue() (string, error)
}

func takes(t *testing.T, q anyQueue, want ...string) {
	t.Helper()
	for _, w := range want {
		got, err := q.Dequeue()
		require.NoError(t, err)
		assert.Equal(t, w, got)
	}
}

func TestQueueInOrder(t *testing.T) {
	client, key := sharedClient(t)
	q := NewQueue(client, key)
	require.NoError(t, NewQueue(client, key+"2").Enqueue("of another queue"))
	for i := range 5 {
		require.NoError(t, q.Enqueue(fmt.Sprint(i)))
	}
	takes(t, NewQueue(newClient(t, shared.Endpoints()...), key), "0", "1", "2", "3", "4")
	late := async(func() error { takes(t, q, "late"); return nil })
	stillWaits(t, late)
	require.NoError(t, NewQueue(client, key).Enqueue("late"))
	require.NoError(t, result(t, late))
}

func TestPriorityQueueInOrder(t *testing.T) {
	client, key := sharedClient(t)
	q := NewPriorityQueue(client, key)
	want := []string{"first"}
	for i := range 12 {
		require.NoError(t, q.Enqueue(fmt.Sprint(i), 7))
		want = append(want, fmt.Sprint(i))
	}
	require.NoError(t, q.Enqueue("last", 65535))
	require.NoError(t, q.Enqueue("first", 0))
	resp, err := client.Get(t.Context(), key+"/", clientv3.WithLastKey()...)
	require.NoError(t, err)
	assert.Equal(t, key+"/65535/0000000000000000", string(resp.Kvs[0].Key))
	takes(t, q, append(want, "last")...)
}

// TestQueuesHandOutEachElementOnce: several goroutines put elements into a queue, and at the same
// time several goroutines take elements out. Each element is taken out once.
func TestQueuesHandOutEachElementOnce(t *testing.T) {
	const clients, each = 4, 25
	client, key := sharedClient(t)
	simple, byPriority := NewQueue(client, key), NewPriorityQueue(client, key+" by priority")
	for name, c := range map[string]struct {
		in  func(string) error
		out func() (string, error)
	}{
		"queue": {simple.Enqueue, simple.Dequeue},
		"priority queue": {func(val string) error {
			return byPriority.Enqueue(val, 3)
		}, byPriority.Dequeue},
	} {
		var mu sync.Mutex
		got := map[string]int{}
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for n := range each {
					assert.NoError(t, c.in(fmt.Sprint(i, "/", n)), name)
				}
			})
			all.Go(func() {
				for range each {
					val, err := c.out()
					assert.NoError(t, err, name)
					mu.Lock()
					got[val]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		assert.Len(t, got, clients*each, name)
		for val, n := range got {
			assert.Equal(t, 1, n, "%s: %s", name, val)
		}
	}
}

func TestWaitEvents(t *testing.T) {
	client, key := sharedClient(t)
	put, del := mvccpb.Event_PUT, mvccpb.Event_DELETE
	first, err := client.Put(t.Context(), key, "1")
	require.NoError(t, err)
	rev := first.Header.Revision
	_, err = client.Put(t.Context(), key, "2")
	require.NoError(t, err)
	_, err = client.Delete(t.Context(), key)
	require.NoError(t, err)

	ev, err := WaitEvents(client, key, rev, []mvccpb.Event_EventType{put, del})
	require.NoError(t, err)
	assert.Equal(t, del, ev.Type)
	assert.Equal(t, rev+2, ev.Kv.ModRevision)
	ev, err = WaitPrefixEvents(client, key[:4], rev, []mvccpb.Event_EventType{put, put})
	require.NoError(t, err)
	assert.Equal(t, "2", string(ev.Kv.Value))
	_, err = WaitEvents(client, key, rev, nil)
	assert.Equal(t, ErrWaitMismatch, err)

	other := newClient(t, shared.Endpoints()...)
	done := async(func() error {
		_, err := WaitEvents(other, key, rev+3, []mvccpb.Event_EventType{put})
		return err
	})
	stillWaits(t, done)
	require.NoError(t, other.Close())
	assert.Equal(t, ErrNoWatcher, result(t, done))
}

func TestRemoteKV(t *testing.T) {
	client, key := sharedClient(t)
	kv, _, err := createEphemeral(newSession(t, client), key)
	require.NoError(t, err)
	require.NoError(t, kv.Put("value"))
	assert.Equal(t, "value", kv.Value())
	resp, err := client.Get(t.Context(), kv.Key())
	require.NoError(t, err)
	assert.Equal(t, kv.Revision(), resp.Kvs[0].CreateRevision)
	assert.NotZero(t, resp.Kvs[0].Lease)
	require.NoError(t, kv.Delete())
	require.NoError(t, kv.Delete(), "twice")
	assert.Equal(t, errGone, kv.Put("no"))
	assert.Zero(t, countKeys(t, client, key))
	var zero RemoteKV
	assert.NoError(t, zero.Delete())
	assert.Equal(t, errGone, zero.Put("no"))
}
