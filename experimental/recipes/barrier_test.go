package recipe

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

func TestBarrierWaitsForItsRelease(t *testing.T) {
	client, key := sharedClient(t)
	b := NewBarrier(client, key)
	require.NoError(t, b.Wait(), "a barrier that is not held")
	require.NoError(t, b.Release())
	require.NoError(t, b.Hold())
	assert.Equal(t, ErrKeyExists, NewBarrier(client, key).Hold())
	var waiting []<-chan error
	for range 3 {
		waiting = append(waiting, async(NewBarrier(newClient(t, shared.Endpoints()...), key).Wait))
	}
	stillWaits(t, waiting[0])
	require.NoError(t, b.Release())
	for _, done := range waiting {
		assert.NoError(t, result(t, done))
	}
}

// TestBarrierHeldAgainLetsEarlierWaitersPass: a Release ends every Wait that was called before it,
// even if Hold is called again at once. A Wait that is called after that Hold waits for the next
// Release.
func TestBarrierHeldAgainLetsEarlierWaitersPass(t *testing.T) {
	client, key := sharedClient(t)
	b := NewBarrier(client, key)
	require.NoError(t, b.Hold())
	for range 20 {
		var waiting []<-chan error
		for range 5 {
			waiting = append(waiting, async(NewBarrier(client, key).Wait))
		}
		stillWaits(t, waiting[0])
		require.NoError(t, b.Release())
		require.NoError(t, b.Hold())
		for _, done := range waiting {
			require.NoError(t, result(t, done))
		}
	}
	late := async(NewBarrier(client, key).Wait)
	stillWaits(t, late)
	require.NoError(t, b.Release())
	require.NoError(t, result(t, late))
}

// TestWaitingRequiresALeader: the watch of Barrier.Wait has the metadata that asks the member to
// end the watch if it has no leader. Wait goes on after the member has done that.
func TestWaitingRequiresALeader(t *testing.T) {
	fake := etcdfake.Start(t)
	b := NewBarrier(newClient(t, fake.Addr()), "barrier")
	require.NoError(t, b.Hold())
	done := async(b.Wait)
	require.Eventually(t, func() bool {
		open, _ := fake.Streams("Watch")
		return open > 0
	}, time.Minute, time.Millisecond)
	assert.Equal(t, []string{rpctypes.MetadataHasLeader},
		fake.LastMetadata("Watch").Get(rpctypes.MetadataRequireLeaderKey))
	fake.Break("Watch", rpctypes.ErrGRPCNoLeader)
	stillWaits(t, done)
	require.NoError(t, b.Release())
	assert.NoError(t, result(t, done))
}

func TestBarrierEndsWithItsClient(t *testing.T) {
	client, key := sharedClient(t)
	require.NoError(t, NewBarrier(client, key).Hold())
	other := newClient(t, shared.Endpoints()...)
	done := async(NewBarrier(other, key).Wait)
	stillWaits(t, done)
	require.NoError(t, other.Close())
	assert.Error(t, result(t, done))
	require.NoError(t, NewBarrier(client, key).Release())
}

// TestDoubleBarrierWithTooManyClients: n+3 clients enter a barrier for n clients at once. n of them
// get in, and Enter returns ErrTooManyClients to the other three.
func TestDoubleBarrierWithTooManyClients(t *testing.T) {
	client, key := sharedClient(t)
	const n = 4
	for range 3 { // rounds
		var inside, refused atomic.Int32
		var all sync.WaitGroup
		leave := make(chan struct{})
		for range n + 3 {
			b := NewDoubleBarrier(newSession(t, client), key, n)
			all.Go(func() {
				err := b.Enter()
				if err != nil {
					assert.Equal(t, ErrTooManyClients, err)
					refused.Add(1)
					return
				}
				inside.Add(1)
				<-leave
				assert.NoError(t, b.Leave())
			})
		}
		assert.Eventually(t, func() bool {
			return inside.Load() == n && refused.Load() == 3
		}, time.Minute, 5*time.Millisecond)
		assert.Equal(t, ErrTooManyClients, NewDoubleBarrier(newSession(t, client), key, n).Enter())
		close(leave)
		all.Wait()
		awaitKeys(t, client, key, 0)
	}
}

func TestDoubleBarrierBeginsAndEndsTogether(t *testing.T) {
	client, key := sharedClient(t)
	a, b := NewDoubleBarrier(newSession(t, client), key, 2),
		NewDoubleBarrier(newSession(t, client), key, 2)
	assert.Equal(t, errNotEntered, a.Leave())
	for range 3 {
		first := async(a.Enter)
		awaitKeys(t, client, key, 1)
		stillWaits(t, first)
		require.NoError(t, b.Enter())
		require.NoError(t, result(t, first))

		leaving := async(b.Leave)
		stillWaits(t, leaving)
		require.NoError(t, a.Leave())
		require.NoError(t, result(t, leaving))
		assert.Zero(t, countKeys(t, client, key))
		a, b = b, a
	}
}

// TestDoubleBarrierWithoutASession: when a client's session ends, the client's Enter or Leave
// returns ErrSessionExpired, and the other clients no longer count or wait for it.
func TestDoubleBarrierWithoutASession(t *testing.T) {
	client, key := sharedClient(t)
	dying, other, third := NewDoubleBarrier(newSession(t, client), key, 2),
		NewDoubleBarrier(newSession(t, client), key, 2),
		NewDoubleBarrier(newSession(t, client), key, 2)
	waiting := async(dying.Enter)
	awaitKeys(t, client, key, 1)
	require.NoError(t, dying.s.Close())
	assert.Equal(t, concurrency.ErrSessionExpired, result(t, waiting))
	assert.Equal(t, concurrency.ErrSessionExpired, dying.Enter())
	waiting = async(other.Enter)
	awaitKeys(t, client, key, 1)
	stillWaits(t, waiting)
	require.NoError(t, third.Enter())
	require.NoError(t, result(t, waiting))

	leaving := async(other.Leave)
	stillWaits(t, leaving)
	require.NoError(t, third.s.Close())
	assert.NoError(t, result(t, leaving), "a client without a session is waited for no longer")
	assert.Equal(t, concurrency.ErrSessionExpired, third.Leave())
}
