package concurrency

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// waitsFor starts a Lock that has to wait for a holder, who is returned.
func waitsFor(
	t *testing.T, admin *clientv3.Client, m *Mutex, ctx context.Context,
) (holder *Mutex, done <-chan error) {
	t.Helper()
	holder = NewMutex(newSession(t, admin), m.pfx[:len(m.pfx)-1])
	require.NoError(t, holder.Lock(t.Context()))
	done = async(func() error { return m.Lock(ctx) })
	awaitKeys(t, admin, m.pfx, 2)
	require.Eventually(t, func() bool {
		return hasPlace(m.contender)
	}, 5*time.Second, time.Millisecond)
	return holder, done
}

// hasPlace tells whether a contender knows of its key.
func hasPlace(c contender) bool {
	return usersOf(c) > 0
}

// TestLockCleansUp ends a waiting Lock in all the ways it can fail.
func TestLockCleansUp(t *testing.T) {
	admin, p := sharedClient(t)
	mine := errors.New("why")
	for name, c := range map[string]struct {
		fail func(s *Session, cancel context.CancelCauseFunc)
		want error
	}{
		"context": {func(_ *Session, cancel context.CancelCauseFunc) {
			cancel(mine)
		}, context.Canceled},
		"session": {func(s *Session, _ context.CancelCauseFunc) {
			assert.NoError(t, s.Close())
		}, ErrSessionExpired},
		"client": {func(s *Session, _ context.CancelCauseFunc) {
			assert.NoError(t, s.client.Close())
		}, ErrSessionExpired},
		"deletion": {func(s *Session, _ context.CancelCauseFunc) {
			deleteOwn(t, admin, p+"deletion/", s)
		}, ErrSessionExpired},
	} {
		client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints()})
		require.NoError(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		s := newSession(t, client, WithTTL(1))
		m := NewMutex(s, p+name)
		holder, done := waitsFor(t, admin, m, ctx)
		c.fail(s, cancel)
		assert.Equal(t, c.want, result(t, done, time.Second), name)
		if name != "client" { // its key goes with its lease
			assert.Len(t, keysUnder(t, admin, m.pfx), 1, "%s: its key is gone when Lock returns",
				name)
		}
		awaitKeys(t, admin, m.pfx, 1)
		assert.True(t, owns(t, holder), name)
		cancel(nil)
		_ = client.Close()
	}
}

func deleteOwn(t *testing.T, admin *clientv3.Client, pfx string, s *Session) {
	_, err := admin.Delete(t.Context(), newContender(s, pfx[:len(pfx)-1]).key)
	assert.NoError(t, err)
}

// TestLockSurvivesCompactionWhileWaiting cuts a waiter off until what it waits for is compacted.
func TestLockSurvivesCompactionWhileWaiting(t *testing.T) {
	admin, p := sharedClient(t)
	for _, released := range []bool{true, false} {
		proxy, client := proxied(t)
		m := NewMutex(newSession(t, client), p)
		ctx, cancel := context.WithCancel(t.Context())
		holder, done := waitsFor(t, admin, m, ctx)
		proxy.Refuse()
		proxy.Reset()
		if released {
			require.NoError(t, holder.Unlock(t.Context()))
		}
		compactAll(t, admin)
		proxy.Heal()
		if released {
			assert.NoError(t, result(t, done, 10*time.Second))
			require.NoError(t, m.Unlock(t.Context()))
		} else {
			testclient.Throughout(t, 300*time.Millisecond, func() bool {
				return len(done) == 0
			}, "it still waits")
			cancel()
			assert.Equal(t, context.Canceled, result(t, done, time.Second))
			awaitKeys(t, admin, p, 1)
		}
		cancel()
	}
}

// TestLockEndsWhenItsLeaseIsRevoked has long TTLs: only the server can tell in time.
func TestLockEndsWhenItsLeaseIsRevoked(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client, WithTTL(600))
	holder, done := waitsFor(t, client, NewMutex(s, p), t.Context())
	_, err := newClient(t, shared.Endpoints()...).Revoke(t.Context(), s.Lease())
	require.NoError(t, err)
	assert.Equal(t, ErrSessionExpired, result(t, done, time.Second))
	assert.True(t, owns(t, holder))
}

// TestLockChecksItsOwnKeyBeforeItReturns deletes the holder's and the waiter's key at once: it is
// the waiter's turn, and it must not take it.
func TestLockChecksItsOwnKeyBeforeItReturns(t *testing.T) {
	client, p := sharedClient(t)
	for range 20 {
		m := NewMutex(newSession(t, client), p)
		_, done := waitsFor(t, client, m, t.Context())
		_, err := client.Delete(t.Context(), p, clientv3.WithPrefix())
		require.NoError(t, err)
		require.Equal(t, ErrSessionExpired, result(t, done, time.Second))
	}
}

// TestLockWithAnUnknownLease locks on a lease that is gone before the session knows.
func TestLockWithAnUnknownLease(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client, WithTTL(600))
	_, err := newClient(t, shared.Endpoints()...).Revoke(t.Context(), s.Lease())
	require.NoError(t, err)
	for _, err := range []error{NewMutex(s, p).Lock(t.Context()),
		NewMutex(s, p).TryLock(t.Context())} {
		assert.True(t, err == rpctypes.ErrLeaseNotFound, "%v", err)
	}
}

// TestOrphanedSessionLocks is how etcd's own lock service uses a session.
func TestOrphanedSessionLocks(t *testing.T) {
	client, p := sharedClient(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	s := newSession(t, client, WithLease(lease.ID))
	s.Orphan()
	m := NewMutex(s, p)
	holder, done := waitsFor(t, client, m, t.Context())
	require.NoError(t, holder.Unlock(t.Context()))
	require.NoError(t, result(t, done, 5*time.Second))
	assert.True(t, owns(t, m))
	require.NoError(t, m.Unlock(t.Context()))

	_, done = waitsFor(t, client, m, t.Context())
	_, err = client.Revoke(t.Context(), lease.ID)
	require.NoError(t, err)
	assert.Equal(t, ErrSessionExpired, result(t, done, time.Second))
}

// TestUnlockDeletesItsOwnKeyOnly loses the answer to an Unlock, and repeats it when another mutex
// of the session has the lock.
func TestUnlockDeletesItsOwnKeyOnly(t *testing.T) {
	admin, p := sharedClient(t)
	proxy, client := proxied(t)
	s := newSession(t, client)
	first, second := NewMutex(s, p), NewMutex(s, p)
	require.NoError(t, first.Lock(t.Context()))

	proxy.Drop(faultnet.ToClient)
	assert.ErrorIs(t, first.Unlock(inTime(t, 300*time.Millisecond)), context.DeadlineExceeded)
	assert.Empty(t, keysUnder(t, admin, p), "the server has deleted it")
	proxy.Heal()

	// The first try may still be made on a connection that is about to be reset.
	require.Eventually(t, func() bool {
		return second.Lock(t.Context()) == nil
	}, 5*time.Second, time.Millisecond)
	require.NoError(t, first.Unlock(t.Context()), "the lock of that acquisition is released")
	assert.True(t, owns(t, second))
	assert.Equal(t, []string{second.Key()}, keysUnder(t, admin, p))
	assert.Equal(t, ErrLockReleased, first.Unlock(t.Context()))
}

// TestUnlockGoesOnInTheBackground has an Unlock fail before the server has it.
func TestUnlockGoesOnInTheBackground(t *testing.T) {
	admin, p := sharedClient(t)
	proxy, client := proxied(t)
	m := NewMutex(newSession(t, client), p)
	require.NoError(t, m.Lock(t.Context()))
	lost := m.Ctx()
	proxy.Blackhole(faultnet.Both)
	assert.ErrorIs(t, m.Unlock(inTime(t, 100*time.Millisecond)), context.DeadlineExceeded)
	assert.Error(t, lost.Err(), "the holder must not go on")
	proxy.Heal()
	awaitKeys(t, admin, p, 0)
}

// TestLostAnswersLeaveNoKey has acquisitions that the server performs, and that fail.
func TestLostAnswersLeaveNoKey(t *testing.T) {
	admin, p := sharedClient(t)
	for name, acquire := range map[string]func(*Mutex, context.Context) error{"Lock": (*Mutex).Lock,
		"TryLock": (*Mutex).TryLock} {
		proxy, client := proxied(t)
		m := NewMutex(newSession(t, client), p+name)
		proxy.Drop(faultnet.ToClient)
		done := async(func() error { return acquire(m, inTime(t, 500*time.Millisecond)) })
		awaitKeys(t, admin, m.pfx, 1)
		assert.ErrorIs(t, result(t, done, time.Second), context.DeadlineExceeded, name)
		assert.Empty(t, m.Key())
		proxy.Heal()
		awaitKeys(t, admin, m.pfx, 0)
		require.Eventually(t, func() bool {
			return acquire(m, t.Context()) == nil
		}, 5*time.Second, time.Millisecond, "and again")
		assert.True(t, owns(t, m))
	}
}

// TestPutAppliedLateLeavesNoKey has a member that gets to a request long after its client has given
// up, as one that was stopped does.
func TestPutAppliedLateLeavesNoKey(t *testing.T) {
	for name, acquire := range map[string]func(*Mutex, context.Context) error{"Lock": (*Mutex).Lock,
		"TryLock": (*Mutex).TryLock} {
		fake, client := newFake(t)
		m := NewMutex(newSession(t, client), name)
		var late proto.Message
		fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
			if late == nil {
				late = req
				return nil, status.Error(codes.Unavailable, "stopped")
			}
			return fake.Apply(ctx, "Txn", req)
		})
		assert.Error(t, acquire(m, t.Context()))

		apply := func() {
			resp, err := fake.Apply(t.Context(), "Txn", late)
			require.NoError(t, err)
			require.True(t, resp.(*pb.TxnResponse).Succeeded)
		}
		require.Eventually(t, func() bool {
			open, _ := fake.Streams("Watch")
			return open > 0
		}, 5*time.Second, time.Millisecond)
		apply()
		awaitKeys(t, client, m.pfx, 0)

		// The mutex is good as ever, and the sweeper knows whose key is whose.
		for range 3 {
			require.NoError(t, acquire(m, t.Context()), name)
			assert.True(t, owns(t, m), name)
			require.NoError(t, m.Unlock(t.Context()), name)
		}
		require.Eventually(t, func() bool {
			open, _ := fake.Streams("Watch")
			return open == 0
		}, 5*time.Second, time.Millisecond, "there is nothing to look out for")
	}
}

// TestPutAppliedLateAfterAnotherLeavesNoKey: a member applies a lost request after the same session
// has locked and unlocked again. Clean-up deletes that key too. A key that it has deleted counts as
// absent: otherwise clean-up would delete the earlier key again and again, and read no further
// events.
func TestPutAppliedLateAfterAnotherLeavesNoKey(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "lock")
	var late proto.Message
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if late == nil {
			late = req
			return nil, status.Error(codes.Unavailable, "stopped")
		}
		return fake.Apply(ctx, "Txn", req)
	})
	require.Error(t, m.Lock(t.Context()))
	require.NoError(t, m.Lock(t.Context()))
	held := m.Ctx()
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return held.Err() == nil
	}, "the lock that is held is left alone")
	assert.True(t, owns(t, m))
	require.NoError(t, m.Unlock(t.Context()))
	_, err := fake.Apply(t.Context(), "Txn", late)
	require.NoError(t, err)
	awaitKeys(t, client, m.pfx, 0)
}

// TestWaitingRequiresALeader looks at the metadata of the watches.
func TestWaitingRequiresALeader(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "lock")
	holder, done := waitsFor(t, client, m, t.Context())
	require.Eventually(t, func() bool {
		open, _ := fake.Streams("Watch")
		return open > 0
	}, 5*time.Second, time.Millisecond)
	assert.Equal(t, []string{rpctypes.MetadataHasLeader},
		fake.LastMetadata("Watch").Get(rpctypes.MetadataRequireLeaderKey))

	// A member that loses its leader ends the watches; the wait goes on elsewhere.
	fake.Break("Watch", rpctypes.ErrGRPCNoLeader)
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return len(done) == 0
	}, "it still waits")
	require.NoError(t, holder.Unlock(t.Context()))
	assert.NoError(t, result(t, done, 5*time.Second))
}
