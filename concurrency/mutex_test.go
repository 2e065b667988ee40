package concurrency

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// owns reports whether a transaction with the condition m.IsOwner succeeds.
func owns(tb testing.TB, m *Mutex) bool {
	tb.Helper()
	resp, err := m.s.client.Txn(tb.Context()).If(m.IsOwner()).Commit()
	require.NoError(tb, err)
	return resp.Succeeded
}

func TestMutexWhileHeldAndNot(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client)
	m := NewMutex(s, p+"lock")
	assert.Empty(t, m.Key())
	assert.Nil(t, m.Header())
	assert.Zero(t, m.Rev())
	assert.False(t, owns(t, m))
	assert.Error(t, m.Ctx().Err())

	require.NoError(t, m.Lock(t.Context()))
	assert.Equal(t, fmt.Sprintf("%slock/%x", p, s.Lease()), m.Key())
	resp, err := client.Get(t.Context(), m.Key())
	require.NoError(t, err)
	require.Len(t, resp.Kvs, 1)
	assert.Equal(t, resp.Kvs[0].CreateRevision, m.Rev())
	assert.Equal(t, int64(s.Lease()), resp.Kvs[0].Lease)
	assert.GreaterOrEqual(t, m.Header().Revision, m.Rev())
	assert.True(t, owns(t, m))
	assert.NoError(t, m.Lock(t.Context()), "a lock that is held already")
	assert.NoError(t, m.TryLock(t.Context()))
	token := m.Rev()

	require.NoError(t, m.Unlock(t.Context()))
	assert.Empty(t, m.Key())
	assert.Zero(t, m.Rev())
	assert.NotNil(t, m.Header())
	assert.False(t, owns(t, m))
	assert.Empty(t, keysUnder(t, client, p))

	require.NoError(t, m.TryLock(t.Context()))
	assert.Greater(t, m.Rev(), token, "the fencing token grows")
}

// TestMutexesTakeTurns has sessions of several clients ask for a lock, one after the other. They
// get it in that order, and the fencing token grows.
func TestMutexesTakeTurns(t *testing.T) {
	admin, p := sharedClient(t)
	const n = 5
	var mutexes []*Mutex
	var locked []<-chan error
	for i := range n {
		m := NewMutex(newSession(t, newClient(t, shared.Endpoints()...)), p)
		locked = append(locked, async(func() error { return m.Lock(t.Context()) }))
		mutexes = append(mutexes, m)
		awaitKeys(t, admin, p, i+1)
	}
	last := int64(0)
	for i, m := range mutexes {
		require.NoError(t, result(t, locked[i], time.Minute))
		assert.Greater(t, m.Rev(), last)
		last = m.Rev()
		for _, later := range locked[i+1:] {
			assert.Empty(t, later, "only one has the lock")
		}
		assert.Equal(t, ErrLocked, NewMutex(newSession(t, admin), p).TryLock(t.Context()))
		require.Len(t, keysUnder(t, admin, p), n-i, "a TryLock in vain leaves no key")
		require.NoError(t, m.Unlock(t.Context()))
	}
}

// TestMutexSurvivesAGap cancels a waiter in the middle of the queue. The waiter behind it must not
// acquire the mutex before the holder has unlocked it.
func TestMutexSurvivesAGap(t *testing.T) {
	client, p := sharedClient(t)
	first := NewMutex(newSession(t, client), p)
	require.NoError(t, first.Lock(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	gone := NewMutex(newSession(t, client), p)
	goneDone := async(func() error { return gone.Lock(ctx) })
	awaitKeys(t, client, p, 2)
	last := NewMutex(newSession(t, client), p)
	lastDone := async(func() error { return last.Lock(t.Context()) })
	awaitKeys(t, client, p, 3)

	cancel()
	assert.Equal(t, context.Canceled, result(t, goneDone, time.Second))
	awaitKeys(t, client, p, 2)
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return len(lastDone) == 0
	}, "the first still has it")
	require.NoError(t, first.Unlock(t.Context()))
	assert.NoError(t, result(t, lastDone, time.Minute))
}

func TestUnlockTwice(t *testing.T) {
	client, p := sharedClient(t)
	m := NewMutex(newSession(t, client), p)
	assert.Equal(t, ErrLockReleased, m.Unlock(t.Context()), "never locked")
	require.NoError(t, m.Lock(t.Context()))
	require.NoError(t, m.Unlock(t.Context()))
	assert.Equal(t, ErrLockReleased, m.Unlock(t.Context()))

	require.NoError(t, m.Lock(t.Context()))
	_, err := client.Delete(t.Context(), m.Key())
	require.NoError(t, err)
	assert.NoError(t, m.Unlock(t.Context()), "another client has deleted the key")
	assert.Equal(t, ErrLockReleased, m.Unlock(t.Context()))
}

// TestMutexesOfOneSessionAreOne shows that mutexes of one session with one prefix share one key.
func TestMutexesOfOneSessionAreOne(t *testing.T) {
	client, p := sharedClient(t)
	s, other := newSession(t, client), newSession(t, client)
	a, b := NewMutex(s, p), NewMutex(s, p)
	require.NoError(t, a.Lock(t.Context()))
	require.NoError(t, b.Lock(t.Context()))
	assert.NoError(t, b.TryLock(t.Context()))
	assert.Equal(t, a.Key(), b.Key())
	assert.Equal(t, a.Rev(), b.Rev())
	require.NoError(t, a.Unlock(t.Context()))
	assert.False(t, owns(t, b), "it was released for all")
	assert.NoError(t, b.Unlock(t.Context()))

	holder := NewMutex(other, p)
	require.NoError(t, holder.Lock(t.Context()))
	waiting := async(func() error { return a.Lock(t.Context()) })
	awaitKeys(t, client, p, 2)
	assert.Equal(t, ErrLocked, b.TryLock(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	leaving := async(func() error { return b.Lock(ctx) })
	testclient.Throughout(t, 50*time.Millisecond, func() bool {
		return len(leaving) == 0
	}, "it still waits")
	cancel()
	assert.Equal(t, context.Canceled, result(t, leaving, time.Second))
	assert.Len(t, keysUnder(t, client, p), 2,
		"who leaves does not take the place of who still waits")
	require.NoError(t, holder.Unlock(t.Context()))
	assert.NoError(t, result(t, waiting, time.Minute))
}

func TestMutexCtxEndsWhenTheLockMayBeLost(t *testing.T) {
	client, p := sharedClient(t)
	lock := func(s *Session) *Mutex {
		m := NewMutex(s, p)
		require.NoError(t, m.Lock(t.Context()))
		require.NoError(t, m.Ctx().Err())
		return m
	}
	m := lock(newSession(t, client))
	ctx := m.Ctx()
	assert.Equal(t, ctx, m.Ctx())
	require.NoError(t, m.Unlock(t.Context()))
	assert.ErrorIs(t, ends(t, ctx, 0), ErrLockReleased)

	m = lock(&Session{m.s})
	ctx = m.Ctx()
	_, err := client.Delete(t.Context(), m.Key())
	require.NoError(t, err)
	assert.ErrorIs(t, ends(t, ctx, time.Second), ErrLockReleased, "deleted by someone else")

	m = lock(&Session{m.s})
	ctx = m.Ctx()
	require.NoError(t, (&Session{m.s}).Close())
	assert.ErrorIs(t, ends(t, ctx, 0), ErrSessionExpired)
	assert.Error(t, m.Ctx().Err())
	assert.Equal(t, ErrSessionExpired, m.Lock(t.Context()))

	m = lock(newSession(t, client))
	ctx = m.Ctx()
	_, err = newClient(t, shared.Endpoints()...).Revoke(t.Context(), (&Session{m.s}).Lease())
	require.NoError(t, err)
	ends(t, ctx, time.Second) // long before the next renewal would find the lease gone
}

// TestMutexCtxAcrossACompaction cuts the connection of the watch that Ctx keeps on the mutex's key,
// and compacts the revisions that the watch has not delivered. The context does not end before the
// key is deleted.
func TestMutexCtxAcrossACompaction(t *testing.T) {
	admin, p := sharedClient(t)
	proxy, client := proxied(t)
	m := NewMutex(newSession(t, client), p)
	require.NoError(t, m.Lock(t.Context()))
	kept := m.Ctx()
	proxy.Refuse()
	proxy.Reset()
	compactAll(t, admin)
	proxy.Heal()
	testclient.Throughout(t, 500*time.Millisecond, func() bool {
		return kept.Err() == nil
	}, "the key is still there")
	_, err := admin.Delete(t.Context(), m.Key())
	require.NoError(t, err)
	ends(t, kept, 10*time.Second)
}

// compactAll writes a few revisions and compacts all before them.
func compactAll(tb testing.TB, admin *clientv3.Client) {
	tb.Helper()
	put(tb, admin, "compacted", "")
	resp, err := admin.Put(tb.Context(), "compacted", "again")
	require.NoError(tb, err)
	_, err = admin.Compact(tb.Context(), resp.Header.Revision)
	require.NoError(tb, err)
}

func TestLocker(t *testing.T) {
	client, p := sharedClient(t)
	a, b := NewLocker(newSession(t, client), p), NewLocker(newSession(t, client), p)
	a.Lock()
	got := make(chan struct{})
	go func() { b.Lock(); close(got) }()
	awaitKeys(t, client, p, 2)
	a.Unlock()
	<-got
	b.Unlock()
	assert.PanicsWithError(t, ErrLockReleased.Error(), b.Unlock)

	s := newSession(t, client)
	require.NoError(t, s.Close())
	assert.PanicsWithError(t, ErrSessionExpired.Error(), NewLocker(s, p).Lock)
}
