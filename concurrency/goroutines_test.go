package concurrency

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// TestUnlockKeepsTheOthersWaiting has goroutines of one session wait for a lock with the same key.
// The first goroutine that gets the lock releases it, and so deletes the key, before the others
// have read the queue. The others put a new key and wait on.
func TestUnlockKeepsTheOthersWaiting(t *testing.T) {
	const n = 4
	fake, client := newFake(t)
	s := newSession(t, client)
	holder := NewMutex(newSession(t, client), "key")
	require.NoError(t, holder.Lock(t.Context()))
	unlocked := make(chan struct{})
	var first sync.Once
	var got sync.WaitGroup
	for range n {
		m := NewMutex(s, "key")
		got.Go(func() {
			if !assert.NoError(t, m.Lock(t.Context())) {
				return
			}
			assert.NoError(t, m.Unlock(t.Context()))
			first.Do(func() { close(unlocked) })
		})
	}
	require.Eventually(t, func() bool {
		return usersOf(newContender(s, "key")) == n
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool {
		return creates(fake.Requests("Watch")) == 2*n
	}, time.Minute, time.Millisecond)
	looks := make(chan struct{}, n)
	fake.Unary("Txn", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if len(req.(*pb.TxnRequest).Compare) == 0 {
			select {
			case looks <- struct{}{}:
				if len(looks) > 1 {
					<-unlocked
				}
			default:
			}
		}
		return fake.Apply(ctx, "Txn", req)
	})
	require.NoError(t, holder.Unlock(t.Context()))
	got.Wait()
	awaitKeys(t, client, "key/", 0)
}

// TestGoroutinesOfOneSessionBesideAnother has two sessions contend for a lock. Four goroutines of
// each session lock and unlock it. At the end, no key is left.
func TestGoroutinesOfOneSessionBesideAnother(t *testing.T) {
	_, client := newFake(t)
	var all sync.WaitGroup
	for range 2 {
		s := newSession(t, client)
		for range 4 {
			m := NewMutex(s, "key")
			all.Go(func() {
				for range 50 {
					if !assert.NoError(t, m.Lock(t.Context())) {
						return
					}
					if err := m.Unlock(t.Context()); err != nil {
						assert.Equal(t, ErrLockReleased, err)
					}
				}
			})
		}
	}
	all.Wait()
	assert.Empty(t, keysUnder(t, client, "key/"))
}

// usersOf returns how many users the key has that the session of c has in a queue. A user is a call
// that waits in the queue with the key, a lock that is held or a leadership.
func usersOf(c contender) int {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if k := c.s.keys[c.key]; k != nil {
		return k.Users()
	}
	return 0
}

// TestOlderPositionReplacesNoNewerOne: a session enters a queue, its key is deleted, and it enters
// again. The position with the deleted key (the older one) is recorded last. The mutex and the
// election must keep the newer position. Otherwise they would release a deleted key, and the newer
// key would block the queue until the session ends.
func TestOlderPositionReplacesNoNewerOne(t *testing.T) {
	_, client := newFake(t)
	s := newSession(t, client)
	enterTwice := func(c contender) (older, newer position) {
		older, err := c.enter(t.Context(), c.mark+isMade)
		require.NoError(t, err)
		_, err = client.Delete(t.Context(), c.key)
		require.NoError(t, err)
		newer, err = c.enter(t.Context(), c.mark+isMade)
		require.NoError(t, err)
		require.Greater(t, newer.rev(), older.rev())
		return older, newer
	}

	m := NewMutex(s, "lock")
	older, newer := enterTwice(m.contender)
	m.acquired(newer)
	held := m.Ctx()
	m.acquired(older)
	assert.Equal(t, newer.rev(), m.Rev())
	assert.Same(t, newer.hdr, m.Header())
	assert.NoError(t, held.Err())
	assert.True(t, owns(t, m))
	require.NoError(t, m.Unlock(t.Context()))

	e := NewElection(s, "election")
	older, newer = enterTwice(e.contender)
	assert.False(t, e.stand(newer), "the session was no candidate")
	assert.True(t, e.stand(older), "it is one already")
	assert.Equal(t, newer.rev(), e.Rev())
	require.NoError(t, e.Proclaim(t.Context(), "value"))
	require.NoError(t, e.Resign(t.Context()))

	assert.Empty(t, keysUnder(t, client, ""))
	keepsNothing(t, s)
}
