package concurrency

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAnEndedContextLeavesNothing asks for locks with a context that has ended, as programs do that
// stop.
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

// TestWhatNoConnectionTookLeavesNothing asks for locks while connections are refused.
func TestWhatNoConnectionTookLeavesNothing(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	client.SetEndpoints(refusing(t))
	await := inTime(t, 10*time.Second) // until the old connection is given up
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

// keepsNothing fails if a session has anything to clean up.
func keepsNothing(t *testing.T, s *Session) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	assert.Empty(t, s.keys)
	assert.Nil(t, s.cleanUpCtx)
}
