package recipe

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

func TestRWMutexWakesWaiters(t *testing.T) {
	client, key := sharedClient(t)
	s := newSession(t, client)
	a, b, w, late := NewRWMutex(s, key), NewRWMutex(s, key), NewRWMutex(s, key),
		NewRWMutex(newSession(t, client), key)
	assert.Equal(t, concurrency.ErrLockReleased, a.RUnlock())
	require.NoError(t, a.RLock())
	require.NoError(t, b.RLock(), "readers share")
	assert.Equal(t, errInUse, a.RLock())
	writing := async(w.Lock)
	awaitKeys(t, client, key, 3)
	reading := async(late.RLock)
	awaitKeys(t, client, key, 4)

	require.NoError(t, a.RUnlock())
	stillWaits(t, writing)
	require.NoError(t, b.RUnlock())
	require.NoError(t, result(t, writing))
	stillWaits(t, reading)
	require.NoError(t, w.Unlock())
	require.NoError(t, result(t, reading))
	require.NoError(t, late.RUnlock())
	assert.Equal(t, concurrency.ErrLockReleased, late.RUnlock())
	assert.Zero(t, countKeys(t, client, key))
}

// TestRWMutexChecksItsOwnKey: while a waiter waits for the lock, one request deletes the keys of
// the waiter and of the lock's holder. The waiter must not get the lock without a key.
func TestRWMutexChecksItsOwnKey(t *testing.T) {
	client, key := sharedClient(t)
	s := newSession(t, client)
	for _, lock := range []func(*RWMutex) error{(*RWMutex).Lock, (*RWMutex).RLock} {
		require.NoError(t, NewRWMutex(s, key).Lock())
		waiter := NewRWMutex(s, key)
		done := async(func() error { return lock(waiter) })
		awaitKeys(t, client, key, 2)
		_, err := client.Delete(t.Context(), key, clientv3.WithPrefix())
		require.NoError(t, err)
		assert.Equal(t, concurrency.ErrSessionExpired, result(t, done))
		require.NoError(t, waiter.Lock(), "and again")
		require.NoError(t, waiter.Unlock())
	}
}

func TestRWMutexEndsWithItsSession(t *testing.T) {
	client, key := sharedClient(t)
	require.NoError(t, NewRWMutex(newSession(t, client), key).Lock())
	s := newSession(t, client)
	done := async(NewRWMutex(s, key).RLock)
	awaitKeys(t, client, key, 2)
	require.NoError(t, s.Close())
	assert.Equal(t, concurrency.ErrSessionExpired, result(t, done))
	assert.Equal(t, concurrency.ErrSessionExpired, NewRWMutex(s, key).Lock())
	awaitKeys(t, client, key, 1)
}

// TestRWMutexLeavesNothingBehind: no key of the mutex stays in the store after a Lock or RLock that
// failed because a response was lost, even if a member applies the request only after the call.
// After a failed Unlock the key is deleted in the background.
func TestRWMutexLeavesNothingBehind(t *testing.T) {
	fake := etcdfake.Start(t)
	client := newClient(t, fake.Addr())
	rw := NewRWMutex(newSession(t, client), "rw")
	fake.FailAfterApply("Txn", 1, status.Error(codes.Unavailable, "lost"))
	require.Error(t, rw.Lock())
	awaitKeys(t, client, "rw", 0)

	var late proto.Message
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if late == nil {
			late = req
			return nil, status.Error(codes.Unavailable, "stopped")
		}
		return fake.Apply(ctx, "Txn", req)
	})
	require.Error(t, rw.RLock())
	_, err := fake.Apply(t.Context(), "Txn", late)
	require.NoError(t, err)
	awaitKeys(t, client, "rw", 0)

	require.NoError(t, rw.Lock())
	fake.Fail("Txn", 1, status.Error(codes.Unavailable, "lost"))
	require.Error(t, rw.Unlock())
	require.Eventually(t, func() bool {
		return countKeys(t, client, "rw") == 0
	}, time.Minute, time.Millisecond, "it is released in the background")
	require.NoError(t, rw.Unlock())
}
