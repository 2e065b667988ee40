package recipe

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/testkit/chaos"
)

// TestSafety has eight clients share an RWMutex and a queue, in a cluster of three members that are
// killed, stopped and cut off at random. The package internal/testkit/chaos explains how to repeat
// a run with the same random numbers.
func TestSafety(t *testing.T) { runSafety(t, 8*time.Second) }

func runSafety(t *testing.T, lasting time.Duration) {
	r := &safetyRun{t: t, got: make(map[string]int)}
	cluster := chaos.Start(t)
	admin := newClient(t, cluster.Endpoints()...)
	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	var work, consumers sync.WaitGroup
	var closers []func()
	for i := range 8 {
		client := newClient(t, cluster.ProxyEndpoints()...)
		work.Go(func() { r.share(ctx, client, i%3 == 0) })
		work.Go(func() { r.produce(ctx, NewQueue(client, "queue"), i) })
		consumer, err := clientv3.New(clientv3.Config{Endpoints: cluster.ProxyEndpoints(),
			Logger: client.GetLogger()})
		require.NoError(t, err)
		closers = append(closers, func() { assert.NoError(t, consumer.Close()) })
		consumers.Go(func() { r.consume(consumer) })
	}
	faults := cluster.Break(ctx, 2*time.Second)
	require.NoError(t, result(t, async(func() error {
		work.Wait()
		return nil
	})), "stuck after the faults have ended")
	awaitKeys(t, admin, "rw/", 0)
	// Consumers compete for the first element, so it takes a while to empty the queue.
	require.Eventually(t, func() bool {
		return countKeys(t, admin, "queue/") == 0
	}, time.Minute, 20*time.Millisecond)
	for _, closeIt := range closers {
		closeIt()
	}
	consumers.Wait()
	t.Logf("%d faults; %d elements in, %d more with unknown outcome; %d out, %d times with unknown outcome; %d times the lock was held",
		faults, r.in.Load(), r.unsureIn.Load(), len(r.got), r.unsureOut.Load(), len(r.held))

	for val, n := range r.got {
		assert.Equal(t, 1, n, "%s was handed out more than once", val)
	}
	assert.GreaterOrEqual(t, int64(len(r.got)), r.in.Load()-r.unsureOut.Load(),
		"elements were lost")
	assert.LessOrEqual(t, int64(len(r.got)), r.in.Load()+r.unsureIn.Load())
	assert.NotEmpty(t, r.held)
	for _, h := range r.held {
		resp, err := admin.Get(t.Context(), h.rivals, clientv3.WithPrefix(), clientv3.WithRev(h.at),
			clientv3.WithMaxCreateRev(h.createRev-1))
		require.NoError(t, err)
		assert.Empty(t, resp.Kvs, "%+v was let in with them", h)
	}
}

// safetyRun collects what the clients have done: the elements put into and taken out of the queue,
// and the acquisitions of the lock.
type safetyRun struct {
	t                       *testing.T
	in, unsureIn, unsureOut atomic.Int64

	mu   sync.Mutex
	got  map[string]int
	held []holding
}

// holding is an acquisition of the lock by a client whose key has the create revision createRev. At
// the revision at, there must be no older key with the prefix rivals.
type holding struct {
	rivals    string
	createRev int64
	at        int64
}

// share holds the lock again and again, as a reader or a writer, until ctx ends, and then once
// more.
func (r *safetyRun) share(ctx context.Context, client *clientv3.Client, writes bool) {
	for last := false; !last; {
		last = ctx.Err() != nil
		s, err := concurrency.NewSession(client, concurrency.WithTTL(2))
		if err != nil {
			last = false
			continue
		}
		for s.Ctx().Err() == nil {
			rw, lock, rivals := NewRWMutex(s, "rw"), (*RWMutex).RLock, "rw/write/"
			if writes {
				lock, rivals = (*RWMutex).Lock, "rw/"
			}
			if lock(rw) == nil {
				r.mu.Lock()
				r.held = append(r.held, holding{rivals, rw.own.Revision(), rw.since})
				r.mu.Unlock()
				_ = rw.Unlock()
			}
			if ctx.Err() != nil {
				break
			}
		}
		_ = s.Close()
	}
}

// produce puts unique elements into the queue. It pauses while the queue is long, because a server
// must read the whole queue to find its first element.
func (r *safetyRun) produce(ctx context.Context, q *Queue, producer int) {
	for n := 0; ctx.Err() == nil; n++ {
		if r.waiting() > 500 {
			_ = backoff.Wait(ctx, 100*time.Millisecond)
			continue
		}
		if q.Enqueue(fmt.Sprint(producer, "/", n)) == nil {
			r.in.Add(1)
		} else {
			r.unsureIn.Add(1)
		}
		_ = backoff.Wait(ctx, 20*time.Millisecond)
	}
}

// waiting estimates how many of the values put into the queue have not been taken yet.
func (r *safetyRun) waiting() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.in.Load() - int64(len(r.got))
}

// consume takes elements out until the client is closed.
func (r *safetyRun) consume(client *clientv3.Client) {
	q := NewQueue(client, "queue")
	for client.Ctx().Err() == nil {
		val, err := q.Dequeue()
		if err != nil {
			r.unsureOut.Add(1)
			continue
		}
		r.mu.Lock()
		r.got[val]++
		r.mu.Unlock()
	}
}
