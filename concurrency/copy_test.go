package concurrency_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func fakeClient(t *testing.T) (*etcdfake.Cluster, *clientv3.Client) {
	fake := etcdfake.New(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{fake.Listen()}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Close()) })
	return fake, client
}

// TestCopyOfASessionIsThatSession copies a Session by value, as a program with a Session field
// does. The copy is the same session.
func TestCopyOfASessionIsThatSession(t *testing.T) {
	fake, client := fakeClient(t)
	copies := map[string]func(*concurrency.Session) *concurrency.Session{
		"by declaration": func(s *concurrency.Session) *concurrency.Session {
			s2 := *s
			return &s2
		},
		"by assignment": func(s *concurrency.Session) *concurrency.Session {
			s2 := &concurrency.Session{}
			*s2 = *s
			return s2
		},
	}
	for name, copied := range copies {
		s, err := concurrency.NewSession(client)
		require.NoError(t, err)
		s2 := copied(s)
		m := concurrency.NewMutex(s2, "key")
		require.NoError(t, m.Lock(t.Context()), name)
		assert.Equal(t, s.Lease(), s2.Lease(), name)
		closed := make(chan error, 1)
		go func() { closed <- s2.Close() }()
		select {
		case err := <-closed:
			assert.NoError(t, err, name)
		case <-time.After(5 * time.Second):
			require.Fail(t, "Close of a copy hangs", name)
		}
		<-s.Done()
		<-s2.Done()
		assert.Empty(t, fake.Leases(), name)
		assert.NoError(t, s.Close(), name)
	}
}

// TestMutexKeepsItsSession shows that a Mutex works on if the Session variable from which it was
// made is overwritten by another session.
func TestMutexKeepsItsSession(t *testing.T) {
	_, client := fakeClient(t)
	s, err := concurrency.NewSession(client)
	require.NoError(t, err)
	other, err := concurrency.NewSession(client)
	require.NoError(t, err)
	kept := *s
	m := concurrency.NewMutex(s, "key")
	require.NoError(t, m.Lock(t.Context()))
	*s = *other
	require.NoError(t, other.Close())
	assert.NoError(t, m.Ctx().Err())
	assert.NoError(t, m.Unlock(t.Context()))
	assert.NoError(t, kept.Close())
}

// TestZeroValuesDoNotPanic calls all methods of values that were not made by a constructor.
func TestZeroValuesDoNotPanic(t *testing.T) {
	s := &concurrency.Session{}
	assert.Nil(t, s.Done())
	assert.Nil(t, s.Client())
	assert.Zero(t, s.Lease())
	assert.NoError(t, s.Ctx().Err())
	s.Orphan()
	s.Discard("key", 0)
	assert.NoError(t, s.Close())

	for _, m := range []*concurrency.Mutex{{}, concurrency.NewMutex(s, "key")} {
		assert.Equal(t, concurrency.ErrSessionExpired, m.Lock(t.Context()))
		assert.Equal(t, concurrency.ErrSessionExpired, m.TryLock(t.Context()))
		assert.Equal(t, concurrency.ErrLockReleased, m.Unlock(t.Context()))
		assert.Empty(t, m.Key())
		assert.Zero(t, m.Rev())
		assert.Nil(t, m.Header())
		assert.Error(t, m.Ctx().Err())
		_ = m.IsOwner()
	}
	for _, e := range []*concurrency.Election{{}, concurrency.NewElection(s, "key")} {
		assert.Equal(t, concurrency.ErrSessionExpired, e.Campaign(t.Context(), "value"))
		assert.Equal(t, concurrency.ErrElectionNotLeader, e.Proclaim(t.Context(), "value"))
		assert.NoError(t, e.Resign(t.Context()))
		assert.Empty(t, e.Key())
		assert.Zero(t, e.Rev())
		assert.Nil(t, e.Header())
		_, err := e.Leader(t.Context())
		assert.Equal(t, concurrency.ErrElectionNoLeader, err)
		_, open := <-e.Observe(t.Context())
		assert.False(t, open)
	}
}

// TestCopyOfAMutexIsThatMutex shows that a copy of a Mutex or of an Election has the same state as
// the original.
func TestCopyOfAMutexIsThatMutex(t *testing.T) {
	_, client := fakeClient(t)
	s, err := concurrency.NewSession(client)
	require.NoError(t, err)
	defer s.Close()
	m := concurrency.NewMutex(s, "key")
	m2 := *m
	require.NoError(t, m2.Lock(t.Context()))
	require.NoError(t, m.Unlock(t.Context()))
	assert.Equal(t, concurrency.ErrLockReleased, m2.Unlock(t.Context()))
	e := concurrency.NewElection(s, "key")
	e2 := *e
	require.NoError(t, e2.Campaign(t.Context(), "value"))
	assert.Equal(t, e2.Key(), e.Key())
	require.NoError(t, e.Resign(t.Context()))
	assert.Empty(t, e2.Key())
}
