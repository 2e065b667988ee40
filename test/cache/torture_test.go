package cache_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/testkit/chaos"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// compactionPeriod makes 130 compactions a minute.
const compactionPeriod = time.Minute / 130

// replica is the state that one consumer has built from the changes that a cache gave it.
type replica struct {
	name string

	mu       sync.Mutex
	keys     map[string]string
	revision int64
	failure  string // how the cache has failed the consumer, or empty
}

// put records one change.
func (r *replica) put(key string, value []byte, deleted bool) {
	if deleted {
		delete(r.keys, key)
	} else {
		r.keys[key] = string(value)
	}
}

func (r *replica) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = fmt.Sprintf(format, args...)
}

// is reports whether the replica has exactly the given keys and values, and the cache has not
// failed it.
func (r *replica) is(keys map[string]string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure == "" && maps.Equal(r.keys, keys)
}

// followChanges applies the batches from Changes to the replica until ctx ends.
func (r *replica) followChanges(ctx context.Context, c *cache.Cache, pause time.Duration) {
	for batch, err := range c.Changes(ctx) {
		if err != nil {
			if ctx.Err() == nil {
				r.fail("Changes ended: %v", err)
			}
			return
		}
		r.mu.Lock()
		if batch.Full {
			r.keys = map[string]string{}
		}
		for _, ch := range batch.Changes {
			if had, ok := r.keys[ch.Key]; ok != (ch.Old != nil) ||
				ok && had != string(ch.Old.Value) {
				r.failure = fmt.Sprintf("%s was %q, and a change says %v", ch.Key, had, ch.Old)
			}
			r.put(ch.Key, ch.New.GetValue(), ch.New == nil)
		}
		r.mu.Unlock()
		_ = backoff.Wait(ctx, pause)
	}
	if ctx.Err() == nil {
		r.fail("Changes ended without a word")
	}
}

// followWatches fills the replica from a snapshot and applies the events of a watch to it. It
// starts again after each compaction.
func (r *replica) followWatches(
	ctx context.Context, c *cache.Cache, w clientv3.Watcher, pause time.Duration,
) {
	for ctx.Err() == nil {
		s := c.Snapshot()
		r.mu.Lock()
		r.keys, r.revision = map[string]string{}, s.Revision()
		for kv := range s.All() {
			r.put(string(kv.Key), kv.Value, false)
		}
		r.mu.Unlock()
		var last clientv3.WatchResponse
		for resp := range w.Watch(ctx, torturePrefix, clientv3.WithPrefix(),
			clientv3.WithRev(s.Revision()+1)) {
			r.take(&resp)
			last = resp
			_ = backoff.Wait(ctx, pause)
		}
		if ctx.Err() == nil && last.CompactRevision == 0 {
			r.fail("a watch ended without a compaction: %v", last.Err())
			return
		}
	}
}

// take applies the events of a watch response to the replica.
func (r *replica) take(resp *clientv3.WatchResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range resp.Events {
		if ev.Kv.ModRevision < r.revision {
			r.failure = fmt.Sprintf("revision %d came after %d", ev.Kv.ModRevision, r.revision)
		}
		r.revision = ev.Kv.ModRevision
		r.put(string(ev.Kv.Key), ev.Kv.Value, ev.Type == clientv3.EventTypeDelete)
	}
}

const torturePrefix = "torture/"

// churn writes and deletes keys until ctx ends, and compacts all the time.
func churn(ctx context.Context, client *clientv3.Client) (compactions int) {
	revision, due := int64(0), time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		key := fmt.Sprintf("%s%03d", torturePrefix, i*7%200)
		if i%3 == 0 {
			if resp, err := client.Delete(attempt, key); err == nil {
				revision = resp.Header.Revision
			}
		} else if resp, err := client.Put(attempt, key, fmt.Sprint(i)); err == nil {
			revision = resp.Header.Revision
		}
		if time.Since(due) >= 0 {
			if _, err := client.Compact(attempt, revision); err == nil {
				compactions++
				// Not time.Now() plus the period: later compactions make up for the failed ones.
				due = due.Add(compactionPeriod)
			}
		}
		cancel()
		_ = backoff.Wait(ctx, time.Millisecond)
	}
	return compactions
}

// torture breaks a cluster while consumers, some of them slow, follow two caches. It requires that
// all consumers have the cluster's state in the end.
func torture(t *testing.T, lasting, longest time.Duration) {
	cluster := chaos.Start(t)
	direct := testclient.Open(t, cluster.Cluster)
	through := testclient.New(t, clientv3.Config{Endpoints: cluster.ProxyEndpoints()})
	ctx, stop := context.WithCancel(t.Context())
	var consumers sync.WaitGroup
	defer consumers.Wait()
	defer stop()
	var replicas []*replica
	for i, history := range []int64{64 << 20, 20_000} {
		c := synced(t, through, torturePrefix, cache.WithHistory(history))
		w := c.Watcher()
		for j := range 25 {
			pause := time.Duration(j%5) * 40 * time.Millisecond
			a := &replica{name: fmt.Sprintf("changes %d of cache %d", j, i)}
			b := &replica{name: fmt.Sprintf("watch %d of cache %d", j, i)}
			replicas = append(replicas, a, b)
			consumers.Go(func() { a.followChanges(ctx, c, pause) })
			// Unlike Changes, a watch gets each revision in a response of its own. With the full
			// pause it would need minutes for all of them.
			consumers.Go(func() { b.followWatches(ctx, c, w, pause/20) })
		}
	}
	breaking, end := context.WithTimeout(t.Context(), lasting)
	defer end()
	var compactions atomic.Int64
	var writer sync.WaitGroup
	writer.Go(func() { compactions.Store(int64(churn(breaking, direct))) })
	faults := cluster.Break(breaking, longest)
	writer.Wait()
	t.Logf("%d faults, %d compactions in %v, %d consumers", faults, compactions.Load(), lasting,
		len(replicas))
	requireReplicas(t, direct, replicas)
}

// requireReplicas requires that all replicas get the state of the server. It reads the state again
// and again, because the server may apply a write late, after the writer has lost the connection.
func requireReplicas(t *testing.T, client *clientv3.Client, replicas []*replica) {
	t.Helper()
	var want map[string]string
	for _, r := range replicas {
		assert.Eventually(t, func() bool {
			state, err := stateOf(t.Context(), client)
			if err == nil {
				want = state
			}
			return err == nil && r.is(want)
		}, patience, 20*time.Millisecond, "%s is stuck", r.name)
		if t.Failed() {
			r.mu.Lock()
			revision, failure, keys := r.revision, r.failure, maps.Clone(r.keys)
			r.mu.Unlock()
			require.Empty(t, failure, r.name)
			require.Equal(t, want, keys, "%s at revision %d", r.name, revision)
		}
	}
}

// stateOf reads the keys under test.
func stateOf(ctx context.Context, client *clientv3.Client) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	resp, err := client.Get(ctx, torturePrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	state := map[string]string{}
	for _, kv := range resp.Kvs {
		state[string(kv.Key)] = string(kv.Value)
	}
	return state, nil
}

// TestTortureLeavesNoConsumerBehind: members of a real cluster are broken for 12 seconds, with 130
// compactions a minute. All consumers of the caches have the cluster's state in the end.
func TestTortureLeavesNoConsumerBehind(t *testing.T) {
	torture(t, 12*time.Second, 2*time.Second)
}
