package concurrency

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

var errLost = status.Error(codes.Unavailable, "lost")

// acquisitions are the calls that put a key.
var acquisitions = map[string]func(*Session, context.Context) error{
	"Lock": func(s *Session, ctx context.Context) error { return NewMutex(s, "key").Lock(ctx) },
	"TryLock": func(s *Session, ctx context.Context) error {
		return NewMutex(s, "key").TryLock(ctx)
	},
	"Campaign": func(s *Session, ctx context.Context) error {
		return NewElection(s, "key").Campaign(ctx, "value")
	},
}

// loseTxn makes the next transaction fail with errLost. The server applies the transaction before
// it fails, or, if late is set, when the returned function is called.
func loseTxn(t *testing.T, fake *etcdfake.Server, late bool) (apply func()) {
	t.Helper()
	if !late {
		fake.FailAfterApply("Txn", 1, errLost)
		return func() {}
	}
	var first atomic.Bool
	lost := make(chan proto.Message, 1)
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if first.CompareAndSwap(false, true) {
			lost <- req
			return nil, errLost
		}
		return fake.Apply(ctx, "Txn", req)
	})
	return func() {
		_, err := fake.Apply(t.Context(), "Txn", <-lost)
		require.NoError(t, err)
	}
}

// staysTaken checks that the only key under "key/" is not deleted for 300 ms, in which a wrong
// clean-up by a session would have deleted it. It also checks that no other session gets the lock.
func staysTaken(t *testing.T, client *clientv3.Client) {
	t.Helper()
	require.Len(t, keysUnder(t, client, "key/"), 1)
	testclient.Throughout(t, 300*time.Millisecond, func() bool {
		return len(keysUnder(t, client, "key/")) == 1
	}, "the key is there")
	assert.Equal(t, ErrLocked, NewMutex(newSession(t, client), "key").TryLock(t.Context()))
}

// TestCleanUpSparesTheSuccessorOfAnOrphan has a session's call fail with an unknown outcome. The
// call may have put or deleted the session's key. Then the session is orphaned, and a second
// session gets its lease and acquires the same key. The first session's clean-up must not delete
// that key.
func TestCleanUpSparesTheSuccessorOfAnOrphan(t *testing.T) {
	for name, acquire := range acquisitions {
		for when, late := range map[string]bool{"applied": false, "applied late": true} {
			t.Run(name+" "+when, func(t *testing.T) {
				fake, client := newFake(t)
				a := newSession(t, client)
				apply := loseTxn(t, fake, late)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if !late { // the clean-up of a must not read the key until a is orphaned
					fake.Delay("Range", time.Hour)
					defer fake.Delay("Range", 0)
				}
				require.Error(t, acquire(a, ctx))
				a.Orphan()
				fake.Delay("Range", 0)
				apply()
				b := newSession(t, client, WithLease(a.Lease()))
				require.NoError(t, acquire(b, t.Context()))
				staysTaken(t, client)
			})
		}
	}
	releases := map[string]func(*Session) (release func(context.Context) error){
		"Unlock": func(s *Session) func(context.Context) error {
			m := NewMutex(s, "key")
			require.NoError(t, m.Lock(t.Context()))
			return m.Unlock
		},
		"Resign": func(s *Session) func(context.Context) error {
			e := NewElection(s, "key")
			require.NoError(t, e.Campaign(t.Context(), "value"))
			return e.Resign
		},
	}
	for name, prepare := range releases {
		t.Run(name, func(t *testing.T) {
			fake, client := newFake(t)
			a := newSession(t, client)
			release := prepare(a)
			fake.Fail("Txn", 1, errLost)
			require.Error(t, release(t.Context()))
			a.Orphan()
			b := newSession(t, client, WithLease(a.Lease()))
			require.NoError(t, acquisitions[map[string]string{"Unlock": "Lock",
				"Resign": "Campaign"}[name]](b, t.Context()))
			staysTaken(t, client)
		})
	}
}

// TestFailedCallsSpareWhatTheyFound has two sessions share a lease, and so also the key of a lock.
// The first session has put the key. Calls of the second session find the key and fail. They must
// not delete it, neither while the first session waits for the lock nor while it holds the lock.
func TestFailedCallsSpareWhatTheyFound(t *testing.T) {
	for name, acquire := range acquisitions {
		t.Run(name, func(t *testing.T) {
			fake, client := newFake(t)
			other := NewMutex(newSession(t, client), "key")
			require.NoError(t, other.Lock(t.Context()))
			first := newSession(t, client)
			second := newSession(t, client, WithLease(first.Lease()))
			m := NewMutex(first, "key")
			waiting := async(func() error { return m.Lock(t.Context()) })
			awaitKeys(t, client, "key/", 2)

			ctx, cancel := context.WithCancel(t.Context())
			failing := async(func() error { return acquire(second, ctx) })
			if name != "TryLock" {
				require.Eventually(t, func() bool {
					return hasPlace(newContender(second, "key"))
				}, time.Minute, time.Millisecond)
				cancel()
			}
			require.Error(t, result(t, failing, time.Minute))
			testclient.Throughout(t, 100*time.Millisecond, func() bool {
				return len(keysUnder(t, client, "key/")) == 2
			}, "both keys are there")
			require.NoError(t, other.Unlock(t.Context()))
			require.NoError(t, result(t, waiting, time.Minute))

			for _, late := range []bool{false, true} { // the first session holds the key
				apply := loseTxn(t, fake, late)
				require.Error(t, acquire(second, t.Context()))
				apply()
				staysTaken(t, client)
				fake.Unary("Txn", nil)
			}
			assert.True(t, owns(t, m))
			cancel()
		})
	}
}

// TestMakerSparesWhatAnotherTookOver has two sessions share a lease, and so also the key of a
// mutex. The first session creates the key, and both sessions wait in the queue with it. Then the
// Lock of the first session fails. It must not delete the key, because the value of the key shows
// that the second session uses the key too. The test has no case for elections: there the user
// chooses the key's value.
func TestMakerSparesWhatAnotherTookOver(t *testing.T) {
	_, client := newFake(t)
	other := NewMutex(newSession(t, client), "key")
	require.NoError(t, other.Lock(t.Context()))
	maker := newSession(t, client)
	second := newSession(t, client, WithLease(maker.Lease()))
	ctx, cancel := context.WithCancel(t.Context())
	failing := async(func() error { return acquisitions["Lock"](maker, ctx) })
	awaitKeys(t, client, "key/", 2)
	waiting := async(func() error { return acquisitions["Lock"](second, t.Context()) })
	waits := func() bool { return hasPlace(newContender(second, "key")) }
	require.Eventually(t, waits, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, result(t, failing, time.Minute), context.Canceled)
	require.NoError(t, other.Unlock(t.Context()))
	require.NoError(t, result(t, waiting, time.Minute))
	staysTaken(t, client)
}

// TestGivenLeaseIsCleanedUp has a session use a lease that the program has granted. The put of a
// lock's key fails with an unknown outcome. No other session uses the lease, so the session deletes
// the key.
func TestGivenLeaseIsCleanedUp(t *testing.T) {
	for _, name := range []string{"Lock", "TryLock"} {
		for when, late := range map[string]bool{"applied": false, "applied late": true} {
			t.Run(name+" "+when, func(t *testing.T) {
				fake, client := newFake(t)
				lease, err := client.Grant(t.Context(), 60)
				require.NoError(t, err)
				s := newSession(t, client, WithLease(lease.ID))
				apply := loseTxn(t, fake, late)
				require.Error(t, acquisitions[name](s, t.Context()))
				apply()
				awaitKeys(t, client, "key/", 0)
				require.NoError(t, NewMutex(newSession(t, client), "key").TryLock(t.Context()))
			})
		}
	}
}

// TestCleanUpSparesACandidateOnASharedLease has two sessions share a lease, and so also the key of
// an election. Both campaign with the same value. The put of the first session fails with an
// unknown outcome. Then the second session creates the key and leads. The first session cannot see
// which of them created the key, so its clean-up must not delete it.
func TestCleanUpSparesACandidateOnASharedLease(t *testing.T) {
	fake, client := newFake(t)
	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	first := newSession(t, client, WithLease(lease.ID))
	second := newSession(t, client, WithLease(lease.ID))
	apply := loseTxn(t, fake, true)
	require.Error(t, acquisitions["Campaign"](first, t.Context()))
	e := NewElection(second, "key")
	require.NoError(t, e.Campaign(t.Context(), "value"))
	staysTaken(t, client)
	apply()
	staysTaken(t, client)
	assert.NoError(t, e.Proclaim(t.Context(), "still the leader"))
}

// TestOrphanWhileAPutHasNoAnswer orphans a session whose put has no answer yet. A new session gets
// the lease, and so also the key, and acquires the lock or leads. Then the first session's put
// fails with an unknown outcome. The first session must not delete the key, because the new one
// uses it.
func TestOrphanWhileAPutHasNoAnswer(t *testing.T) {
	for name, acquire := range acquisitions {
		t.Run(name, func(t *testing.T) {
			fake, client := newFake(t)
			orphan := newSession(t, client)
			puts, lose := make(chan proto.Message), make(chan struct{})
			fake.Unary("Txn", func(_ context.Context, req proto.Message) (proto.Message, error) {
				puts <- req
				<-lose
				return nil, errLost
			})
			failing := async(func() error { return acquire(orphan, t.Context()) })
			put := <-puts
			fake.Unary("Txn", nil)
			orphan.Orphan()
			heir := newSession(t, client, WithLease(orphan.Lease()))
			require.NoError(t, acquire(heir, t.Context()))
			close(lose)
			require.Error(t, result(t, failing, time.Minute))
			staysTaken(t, client)
			_, err := fake.Apply(t.Context(), "Txn", put)
			require.NoError(t, err)
			staysTaken(t, client)
		})
	}
}
