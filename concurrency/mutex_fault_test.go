package concurrency

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// waitsFor locks another mutex, the holder, and then calls m.Lock, which has to wait for the
// holder. waitsFor returns as soon as m waits. The channel done gets the error of m.Lock.
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
	}, time.Minute, time.Millisecond)
	return holder, done
}

// hasPlace reports whether the key that the session of c has in a queue is in use: a call waits in
// the queue with it, or it holds the lock or the leadership.
func hasPlace(c contender) bool {
	return usersOf(c) > 0
}

// TestLockCleansUp makes a waiting Lock fail in each possible way. The key that the Lock has put in
// the queue is deleted.
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

// TestLockSurvivesCompactionWhileWaiting disconnects a waiter, and compacts the revisions that its
// watch has not delivered. The Lock still waits, or acquires the lock if it was released meanwhile.
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
			assert.NoError(t, result(t, done, time.Minute))
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

// TestLockEndsWhenItsLeaseIsRevoked revokes the lease of a session whose Lock waits. The TTL is
// long, so the Lock ends in time only if it sees that its key was deleted.
func TestLockEndsWhenItsLeaseIsRevoked(t *testing.T) {
	client, p := sharedClient(t)
	s := newSession(t, client, WithTTL(600))
	holder, done := waitsFor(t, client, NewMutex(s, p), t.Context())
	_, err := newClient(t, shared.Endpoints()...).Revoke(t.Context(), s.Lease())
	require.NoError(t, err)
	assert.Equal(t, ErrSessionExpired, result(t, done, time.Second))
	assert.True(t, owns(t, holder))
}

// TestLockChecksItsOwnKeyBeforeItReturns deletes the keys of the holder and of the waiter in one
// request. The waiter is first then, and must not lock without a key.
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

// TestLockWithAnUnknownLease calls Lock and TryLock after another client has revoked the session's
// lease. The session does not know that yet. The calls return ErrLeaseNotFound.
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

// TestLockWhoseLeaseEndsDuringItsPut revokes the lease while Lock waits for the response to its
// put. A renewal finds that the lease is gone. Lock returns ErrLeaseNotFound, as it would if the
// put returned this error.
func TestLockWhoseLeaseEndsDuringItsPut(t *testing.T) {
	putting, first := make(chan struct{}), sync.Once{}
	client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints(), Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
				cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				if method == pb.KV_Txn_FullMethodName {
					first.Do(func() {
						close(putting)
						<-ctx.Done()
					})
				}
				return invoke(ctx, method, req, reply, cc, opts...)
			}),
		}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	s := newSession(t, client, WithTTL(2))
	done := async(func() error { return NewMutex(s, t.Name()).Lock(t.Context()) })
	<-putting
	_, err = newClient(t, shared.Endpoints()...).Revoke(t.Context(), s.Lease())
	require.NoError(t, err)
	assert.Equal(t, rpctypes.ErrLeaseNotFound, result(t, done, 2*time.Second))
}

// TestContextOfAnotherSessionEndsTheCall acquires a key of the session s with the context of
// another session. That other session ends while the server delays the put of the key. The call
// returns context.Canceled, because s itself has not ended.
func TestContextOfAnotherSessionEndsTheCall(t *testing.T) {
	for name, acquire := range acquisitions {
		t.Run(name, func(t *testing.T) {
			fake, client := newFake(t)
			ending, s := newSession(t, client), newSession(t, client)
			putting, first := make(chan struct{}), sync.Once{}
			fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
				first.Do(func() {
					close(putting)
					<-ctx.Done()
				})
				return fake.Apply(ctx, "Txn", req)
			})
			done := async(func() error { return acquire(s, ending.Ctx()) })
			<-putting
			require.NoError(t, ending.Close())
			require.Equal(t, context.Canceled, result(t, done, time.Minute))
			awaitKeys(t, client, "key/", 0)
			require.NoError(t, acquire(s, t.Context()), "the session lives")
		})
	}
}

// TestOrphanedSessionLocks shows that a mutex works with an orphaned session, which does not renew
// its lease. The lock service of the etcd server uses such sessions.
func TestOrphanedSessionLocks(t *testing.T) {
	client, p := sharedClient(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	s := newSession(t, client, WithLease(lease.ID))
	s.Orphan()
	m := NewMutex(s, p)
	holder, done := waitsFor(t, client, m, t.Context())
	require.NoError(t, holder.Unlock(t.Context()))
	require.NoError(t, result(t, done, time.Minute))
	assert.True(t, owns(t, m))
	require.NoError(t, m.Unlock(t.Context()))

	_, done = waitsFor(t, client, m, t.Context())
	_, err = client.Revoke(t.Context(), lease.ID)
	require.NoError(t, err)
	assert.Equal(t, ErrSessionExpired, result(t, done, time.Second))
}

// TestUnlockDeletesItsOwnKeyOnly loses the response to the first mutex's Unlock. Unlock is called
// again while a second mutex of the session has the lock. It does not delete the second one's key.
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

	// The first call of Lock can fail, if it uses a connection that is about to be reset.
	require.Eventually(t, func() bool {
		return second.Lock(t.Context()) == nil
	}, time.Minute, time.Millisecond)
	require.NoError(t, first.Unlock(t.Context()), "the lock of that acquisition is released")
	assert.True(t, owns(t, second))
	assert.Equal(t, []string{second.Key()}, keysUnder(t, admin, p))
	assert.Equal(t, ErrLockReleased, first.Unlock(t.Context()))
}

// TestUnlockGoesOnInTheBackground has an Unlock fail before its request reaches the server. When
// the network works again, the key is deleted all the same.
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

// watchRequiresALeader waits until a client has opened a watch. It checks that the watch's metadata
// asks the member to end the watch when the member loses its leader.
func watchRequiresALeader(t *testing.T, fake *etcdfake.Server) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(fake.LastMetadata("Watch")) > 0
	}, time.Minute, time.Millisecond)
	assert.Equal(t, []string{rpctypes.MetadataHasLeader},
		fake.LastMetadata("Watch").Get(rpctypes.MetadataRequireLeaderKey))
}

// TestWaitingRequiresALeader checks that the watch of a waiting Lock requires a leader, and that
// the Lock still waits after a member without a leader has ended the watch.
func TestWaitingRequiresALeader(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "lock")
	holder, done := waitsFor(t, client, m, t.Context())
	watchRequiresALeader(t, fake)

	// The member ends the watches, as if it had lost its leader. The Lock must wait on.
	fake.Break("Watch", rpctypes.ErrGRPCNoLeader)
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return len(done) == 0
	}, "it still waits")
	require.NoError(t, holder.Unlock(t.Context()))
	assert.NoError(t, result(t, done, time.Minute))
}
