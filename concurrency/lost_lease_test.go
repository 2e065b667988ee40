package concurrency

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestCallsOnALostLease revokes a session's lease. Each later call returns
// rpctypes.ErrLeaseNotFound, by which programs recognize that they need a new session. The session
// ends as soon as a call gets this error from the server, long before the next renewal.
func TestCallsOnALostLease(t *testing.T) {
	for name, acquire := range acquisitions {
		for _, orphan := range []bool{false, true} {
			fake, client := newFake(t)
			s := newSession(t, client, WithTTL(600))
			kept := NewMutex(s, "kept")
			require.NoError(t, kept.Lock(t.Context()))
			held := kept.Ctx()
			if orphan {
				s.Orphan()
			}
			_, err := newClient(t, fake.Addr()).Revoke(t.Context(), s.Lease())
			require.NoError(t, err)
			for range 3 {
				err := acquire(s, t.Context())
				assert.True(t, err == rpctypes.ErrLeaseNotFound, "%s: %v", name, err)
				assert.Error(t, s.Ctx().Err(), name)
				assert.Error(t, held.Err(), name)
			}
			if !orphan {
				assert.ErrorIs(t, context.Cause(s.Ctx()), ErrSessionExpired)
				assert.ErrorIs(t, context.Cause(s.Ctx()), rpctypes.ErrLeaseNotFound)
			}
		}
	}
}

// TestCallsOnAnExpiredSession has a session end because no renewal was answered. Calls that use the
// session return ErrLeaseNotFound.
func TestCallsOnAnExpiredSession(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client, WithTTL(1))
	fake.Delay("LeaseKeepAlive", time.Hour)
	defer fake.Delay("LeaseKeepAlive", 0)
	require.ErrorIs(t, ends(t, s.Ctx(), 5*time.Second), clientv3.ErrKeepAliveExpired)
	for name, acquire := range acquisitions {
		assert.Equal(t, rpctypes.ErrLeaseNotFound, acquire(s, t.Context()), name)
	}
}
