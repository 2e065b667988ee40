package concurrency

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestLostAnswersLeaveNoKey loses the answer to a Lock that the server has applied. The session
// then deletes the key.
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
		}, time.Minute, time.Millisecond, "and again")
		assert.True(t, owns(t, m))
	}
}

// TestPutAppliedLateLeavesNoKey has a member apply the request of a failed Lock late, as a member
// that was stopped for a while does. The session then deletes the key.
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
		}, time.Minute, time.Millisecond)
		apply()
		awaitKeys(t, client, m.pfx, 0)

		// The mutex works as before. Clean-up does not delete the keys of its new locks.
		for range 3 {
			require.NoError(t, acquire(m, t.Context()), name)
			assert.True(t, owns(t, m), name)
			require.NoError(t, m.Unlock(t.Context()), name)
		}
		require.Eventually(t, func() bool {
			open, _ := fake.Streams("Watch")
			return open == 0
		}, time.Minute, time.Millisecond, "there is nothing to look out for")
	}
}

// TestPutAppliedLateAfterAnotherLeavesNoKey has Lock fail, and the member apply its request only
// after the session has locked and unlocked again. Clean-up deletes the key of the late request,
// too.
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

// TestPutAppliedDespiteAnErrorLeavesNoKey shows that clean-up deletes the key of a put that has
// failed with ResourceExhausted although the server has applied it. That happens in two cases:
// the put takes the last space of the server, or the answer is larger than the client accepts.
func TestPutAppliedDespiteAnErrorLeavesNoKey(t *testing.T) {
	for name, after := range map[string]error{
		"no space": rpctypes.ErrGRPCNoSpace,
		"answer too large": status.Error(codes.ResourceExhausted,
			"grpc: received message larger than max"),
	} {
		for call, acquire := range map[string]func(*Session, context.Context) error{
			"Lock": func(s *Session, ctx context.Context) error {
				return NewMutex(s, "key").Lock(ctx)
			},
			"TryLock": func(s *Session, ctx context.Context) error {
				return NewMutex(s, "key").TryLock(ctx)
			},
			"Campaign": func(s *Session, ctx context.Context) error {
				return NewElection(s, "key").Campaign(ctx, "v")
			},
		} {
			t.Run(name+" "+call, func(t *testing.T) {
				fake, client := newFake(t)
				s := newSession(t, client)
				fake.FailAfterApply("Txn", 1, after)
				require.Error(t, acquire(s, t.Context()))
				awaitKeys(t, client, "key", 0)
				assert.NoError(t, acquire(newSession(t, client), t.Context()),
					"another session gets it")
			})
		}
	}
}

// TestCleanUpOutlastsServersThatAreBusy shows that clean-up in the background deletes the key of a
// failed Unlock even if a server answers that it is busy. Clean-up gives up only if the server
// refuses the deletion, as with a denied permission.
func TestCleanUpOutlastsServersThatAreBusy(t *testing.T) {
	fake, client := newFake(t)
	m := NewMutex(newSession(t, client), "key")
	require.NoError(t, m.Lock(t.Context()))
	fake.Fail("Txn", 3, status.Error(codes.ResourceExhausted, "so many requests"))
	require.Error(t, m.Unlock(t.Context()))
	awaitKeys(t, client, "key", 0)

	require.NoError(t, m.Lock(t.Context()))
	fake.Fail("Txn", 2, rpctypes.ErrGRPCPermissionDenied)
	require.Error(t, m.Unlock(t.Context()))
	require.Eventually(t, func() bool {
		return fake.Calls("Txn") == 8
	}, time.Minute, time.Millisecond)
	testclient.Throughout(t, 200*time.Millisecond, func() bool {
		return fake.Calls("Txn") == 8
	}, "clean-up has given up")
	require.NoError(t, m.Unlock(t.Context()), "it can be repeated")
	assert.Empty(t, keysUnder(t, client, "key"))
}

// TestLockAfterADeniedUnlock has the server refuse to delete the key of a lock, both for Unlock and
// for the clean-up after it. The next Lock creates a new key, because a request to delete the old
// key may still be applied.
func TestLockAfterADeniedUnlock(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	m := NewMutex(s, "key")
	require.NoError(t, m.Lock(t.Context()))
	denied := m.Rev()
	fake.Fail("Txn", 2, rpctypes.ErrGRPCPermissionDenied)
	require.Error(t, m.Unlock(t.Context()))
	require.Eventually(t, func() bool {
		return fake.Calls("Txn") == 3
	}, time.Minute, time.Millisecond)
	require.NoError(t, m.Lock(t.Context()))
	assert.Greater(t, m.Rev(), denied)
	held := m.Ctx()
	testclient.Throughout(t, 100*time.Millisecond, func() bool {
		return held.Err() == nil && len(keysUnder(t, client, "key")) == 1
	}, "the lock is held")
	require.NoError(t, m.Unlock(t.Context()))
	assert.Empty(t, keysUnder(t, client, "key"))
}

// TestAnEndedContextLeavesNothing asks for locks with a context that has ended, as a program does
// while it stops. No request is sent.
func TestAnEndedContextLeavesNothing(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	fake.ForgetRequests()
	for i := range 500 {
		name := fmt.Sprint("key", i)
		assert.Equal(t, context.Canceled, NewMutex(s, name).Lock(ended))
		assert.Equal(t, context.Canceled, NewMutex(s, name).TryLock(ended))
		assert.Equal(t, context.Canceled, NewElection(s, name).Campaign(ended, "value"))
	}
	keepsNothing(t, s)
	assert.Empty(t, fake.Requests("Txn", "Range", "Watch"))
}

// TestWhatNoConnectionTookLeavesNothing asks for locks while all connections are refused. No
// request is sent, so the session has no key to clean up.
func TestWhatNoConnectionTookLeavesNothing(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	client.SetEndpoints(refusing(t))
	await := inTime(t, 10*time.Second) // the client may use its old connection for some time
	for {
		if _, err := client.Get(inTime(t, 20*time.Millisecond), "key"); err != nil {
			break
		}
		require.NoError(t, await.Err())
	}
	for i := range 10 {
		name := fmt.Sprint("key", i)
		assert.Equal(t, context.DeadlineExceeded,
			NewMutex(s, name).Lock(inTime(t, 10*time.Millisecond)))
		assert.Equal(t, context.DeadlineExceeded,
			NewMutex(s, name).TryLock(inTime(t, 10*time.Millisecond)))
		assert.Equal(t, context.DeadlineExceeded,
			NewElection(s, name).Campaign(inTime(t, 10*time.Millisecond), "value"))
	}
	keepsNothing(t, s)
	client.SetEndpoints(fake.Addr())
}

// refusing returns an address that refuses connections.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// keepsNothing fails if a session still has an entry for a key, or a running clean-up.
func keepsNothing(t *testing.T, s *Session) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.keys)
	assert.Nil(t, s.cleanUpCtx)
}
