package concurrency

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/testkit/chaos"
)

// TestSafety has eight clients contend for a lock and an election in a cluster of three members
// that are killed, stopped and cut off. The environment variable CHAOS_SEED sets the seed of these
// faults.
func TestSafety(t *testing.T) { runSafety(t, 10*time.Second) }

func runSafety(t *testing.T, lasting time.Duration) {
	const clients = 8
	r := &safetyRun{t: t, cluster: chaos.Start(t)}
	r.admin = newClient(t, r.cluster.Endpoints()...)
	put(t, r.admin, "counter", "0")

	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	var work sync.WaitGroup
	for i := range clients {
		client := newClient(t, r.cluster.ProxyEndpoints()...)
		for _, once := range []func(*safetyRun, context.Context, *Session){(*safetyRun).count,
			(*safetyRun).lead} {
			work.Go(func() { r.worker(ctx, client, rand.New(rand.NewPCG(uint64(i), 0)), once) })
		}
	}
	work.Go(func() { r.revoke(ctx) })
	faults := r.cluster.Break(ctx, 2500*time.Millisecond)
	work.Wait()
	t.Logf("%d faults; %d sessions; %d increments, %d more with unknown outcome; "+
		"%d refused since the lock was lost; %d acquisitions; %d times a leader",
		faults, r.sessions.Load(), r.counted.Load(), r.unsure.Load(), r.refused.Load(),
		len(r.locked), len(r.led))

	got, err := strconv.ParseInt(values(t, r.admin, "counter")[0], 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, got, r.counted.Load(), "an increment was lost")
	assert.LessOrEqual(t, got, r.counted.Load()+r.unsure.Load())
	assert.Positive(t, r.counted.Load())
	r.wereFirst("lock/", r.locked)
	r.wereFirst("election/", r.led)
}

// safetyRun counts and records what the goroutines of the test have done with their sessions.
type safetyRun struct {
	t       *testing.T
	cluster *chaos.Cluster
	admin   *clientv3.Client // network faults do not affect this client

	sessions, counted, unsure, refused atomic.Int64

	mu     sync.Mutex
	locked []firstKey
	led    []firstKey
}

// firstKey is the key of a session that has got the lock or leads. At the revision in the field at,
// this key was the first of the queue.
type firstKey struct {
	key       string
	createRev int64
	at        int64
}

// worker calls the parameter once, a function, in a loop until ctx ends. No faults happen after
// that. worker calls the function a last time, which must not hang, and checks that the session has
// left no key.
func (r *safetyRun) worker(
	ctx context.Context, client *clientv3.Client, rng *rand.Rand,
	once func(*safetyRun, context.Context, *Session),
) {
	var s *Session
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(r.t.Context(),
			time.Duration(200+rng.IntN(5000))*time.Millisecond)
		if s = r.session(one, client, s); s != nil {
			once(r, one, s)
		}
		cancel()
	}
	last, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for s = r.session(last, client, s); s == nil && last.Err() == nil; {
		s = r.session(last, client, s)
	}
	once(r, last, s)
	assert.NoError(r.t, last.Err(), "stuck after the faults have ended")
	for _, pfx := range []string{"lock/", "election/"} {
		for len(r.keysOf(last, pfx, s)) > 0 {
			if !assert.NoError(r.t, last.Err(), "a key was left behind while the session lives") {
				break
			}
		}
	}
	assert.NoError(r.t, ignoreNotFound(s.Close()))
}

// session returns s if it lives, or else a new session. It returns nil if it could not make one.
func (r *safetyRun) session(ctx context.Context, client *clientv3.Client, s *Session) *Session {
	if s != nil && s.Ctx().Err() == nil {
		return s
	}
	if s != nil {
		_ = s.Close()
	}
	s, err := NewSession(client, WithTTL(2))
	if err != nil || ctx.Err() != nil {
		return s
	}
	r.sessions.Add(1)
	return s
}

// revoke revokes the lease of a random session every half second.
func (r *safetyRun) revoke(ctx context.Context) {
	for backoff.Wait(ctx, 500*time.Millisecond) == nil {
		leases, err := r.admin.Leases(ctx)
		if err == nil && len(leases.Leases) > 0 {
			_, _ = r.admin.Revoke(ctx, leases.Leases[rand.IntN(len(leases.Leases))].ID)
		}
	}
}

// keysOf returns the keys that the session s has put under the prefix pfx.
func (r *safetyRun) keysOf(ctx context.Context, pfx string, s *Session) []string {
	resp, err := r.admin.Get(ctx, newContender(s, pfx[:len(pfx)-1]).key)
	if err != nil {
		return nil
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// count adds one to the counter under the lock.
func (r *safetyRun) count(ctx context.Context, s *Session) {
	m := NewMutex(s, "lock")
	if m.Lock(ctx) != nil {
		return
	}
	r.note(&r.locked, firstKey{key: m.Key(), createRev: m.Rev(), at: m.Header().Revision})
	defer func() { _ = m.Unlock(ctx) }()
	resp, err := s.Client().Get(ctx, "counter")
	if err != nil {
		return
	}
	n, err := strconv.Atoi(string(resp.Kvs[0].Value))
	assert.NoError(r.t, err)
	if rand.IntN(50) == 0 {
		// Act like a suspended program: the lease is not renewed any more, and may expire.
		s.Orphan()
		_ = backoff.Wait(ctx, rand.N(3*time.Second))
	}
	txn, err := s.Client().Txn(ctx).If(m.IsOwner()).Then(
		clientv3.OpPut("counter", strconv.Itoa(n+1))).Commit()
	switch {
	case err != nil:
		r.unsure.Add(1)
	case txn.Succeeded:
		r.counted.Add(1)
	default:
		r.refused.Add(1)
	}
}

// lead campaigns, and resigns as soon as it leads.
func (r *safetyRun) lead(ctx context.Context, s *Session) {
	e := NewElection(s, "election")
	if e.Campaign(ctx, "value") != nil {
		return
	}
	r.note(&r.led, firstKey{key: e.Key(), createRev: e.Rev(), at: e.Header().Revision})
	for e.Resign(ctx) != nil && ctx.Err() == nil {
		continue
	}
}

func (r *safetyRun) note(list *[]firstKey, one firstKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, one)
}

// wereFirst reads the store as it was at the revision of each acquisition. At that revision, the
// key of the acquisition must be the oldest key of the queue. So no two sessions held the lock, or
// led, at the same revision.
func (r *safetyRun) wereFirst(pfx string, acquisitions []firstKey) {
	assert.NotEmpty(r.t, acquisitions)
	for _, one := range acquisitions {
		resp, err := r.admin.Get(r.t.Context(), pfx,
			append(clientv3.WithFirstCreate(), clientv3.WithRev(one.at))...)
		require.NoError(r.t, err)
		if assert.Len(r.t, resp.Kvs, 1, "%+v", one) {
			assert.Equal(r.t, one.key, string(resp.Kvs[0].Key), "%+v", one)
			assert.Equal(r.t, one.createRev, resp.Kvs[0].CreateRevision, "%+v", one)
		}
	}
}
