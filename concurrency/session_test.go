package concurrency

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	zapobserver "go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// newSession makes a session that is closed at the end of the test.
func newSession(tb testing.TB, client *clientv3.Client, opts ...SessionOption) *Session {
	tb.Helper()
	s, err := NewSession(client, opts...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// timeToLive returns the TTL that a lease has left, or -1 if it does not exist.
func timeToLive(tb testing.TB, client *clientv3.Client, lease clientv3.LeaseID) int64 {
	tb.Helper()
	resp, err := client.TimeToLive(tb.Context(), lease)
	require.NoError(tb, err)
	return resp.TTL
}

// ends waits for a context to end, and returns why.
func ends(tb testing.TB, ctx context.Context, within time.Duration) error {
	tb.Helper()
	took := testclient.Stopwatch(tb)
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	require.Less(tb, took(), max(within, 200*time.Millisecond), "the context did not end")
	return context.Cause(ctx)
}

func TestSessionKeepsItsLease(t *testing.T) {
	client, _ := sharedClient(t)
	s := newSession(t, client, WithTTL(1))
	assert.Same(t, client, s.Client())
	testclient.Throughout(t, 2*time.Second, func() bool {
		return s.Ctx().Err() == nil && timeToLive(t, client, s.Lease()) >= 0
	}, "the lease is kept alive")
	require.NoError(t, s.Close())
	assert.ErrorIs(t, ends(t, s.Ctx(), 0), ErrSessionExpired)
	<-s.Done()
	assert.Equal(t, int64(-1), timeToLive(t, client, s.Lease()), "Close revokes the lease")
	assert.NoError(t, s.Close(), "once more")
}

func TestSessionOptions(t *testing.T) {
	core, logs := zapobserver.New(zapcore.WarnLevel)
	client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints(),
		Logger: zap.New(core)})
	require.NoError(t, err)
	defer client.Close()

	granted := func(s *Session) int64 {
		resp, err := client.TimeToLive(t.Context(), s.Lease())
		require.NoError(t, err)
		return resp.GrantedTTL
	}
	assert.Equal(t, int64(60), granted(newSession(t, client)))
	assert.Equal(t, int64(7), granted(newSession(t, client, WithTTL(7), WithTTL(0), WithTTL(-1))))
	assert.Equal(t, 2, logs.Len(), "one warning for each bad TTL")
	assert.Equal(t, int64(7), logs.All()[0].ContextMap()["used"])

	lease, err := client.Grant(t.Context(), 30)
	require.NoError(t, err)
	s := newSession(t, client, WithLease(lease.ID))
	assert.Equal(t, lease.ID, s.Lease())
	require.NoError(t, s.Close())
	assert.Equal(t, int64(-1), timeToLive(t, client, lease.ID),
		"Close revokes a lease that was given, too")

	type key struct{}
	s = newSession(t, client, WithContext(context.WithValue(t.Context(), key{}, "value")))
	assert.Equal(t, "value", s.Ctx().Value(key{}))
}

// TestCtxEndsWithTheSession ends a session in each way, and checks the cause of the context's end.
func TestCtxEndsWithTheSession(t *testing.T) {
	admin, _ := sharedClient(t)
	t.Run("orphaned", func(t *testing.T) {
		s := newSession(t, admin)
		s.Orphan()
		<-s.Done()
		assert.ErrorIs(t, s.Ctx().Err(), context.Canceled)
		assert.NotErrorIs(t, context.Cause(s.Ctx()), ErrSessionExpired)
		assert.Positive(t, timeToLive(t, admin, s.Lease()), "the lease is left alone")
		require.NoError(t, s.Close())
		assert.Equal(t, int64(-1), timeToLive(t, admin, s.Lease()))
	})
	t.Run("revoked elsewhere", func(t *testing.T) {
		s := newSession(t, admin, WithTTL(2))
		_, err := newClient(t, shared.Endpoints()...).Revoke(t.Context(), s.Lease())
		require.NoError(t, err)
		cause := ends(t, s.Ctx(), 2*time.Second)
		assert.ErrorIs(t, cause, ErrSessionExpired)
		assert.ErrorIs(t, cause, rpctypes.ErrLeaseNotFound)
		assert.ErrorIs(t, s.Close(), rpctypes.ErrLeaseNotFound, "Close tells that it came too late")
	})
	t.Run("a lease that does not exist", func(t *testing.T) {
		s := newSession(t, admin, WithLease(12345))
		assert.ErrorIs(t, ends(t, s.Ctx(), 5*time.Second), rpctypes.ErrLeaseNotFound)
	})
	t.Run("with its context", func(t *testing.T) {
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		s := newSession(t, admin, WithContext(ctx))
		cancel(why)
		assert.Equal(t, why, ends(t, s.Ctx(), 0))
		assert.Positive(t, timeToLive(t, admin, s.Lease()))
		require.NoError(t, s.Close(), "the lease can be revoked all the same")
		assert.Equal(t, int64(-1), timeToLive(t, admin, s.Lease()))
	})
	t.Run("with its client", func(t *testing.T) {
		client, err := clientv3.New(clientv3.Config{Endpoints: shared.Endpoints()})
		require.NoError(t, err)
		own := newSession(t, client)
		other := newSession(t, client, WithContext(t.Context()))
		require.NoError(t, client.Close())
		ends(t, own.Ctx(), time.Second)
		assert.ErrorIs(t, ends(t, other.Ctx(), time.Second), ErrSessionExpired)
		took := testclient.Stopwatch(t)
		assert.Error(t, own.Close())
		assert.Less(t, took(), time.Second)
	})
}

// TestSessionCloseIsBoundedOnASilentMember has a member answer nothing. Close of one session
// returns an error when the TTL has passed. Two other sessions end because their leases are not
// renewed.
func TestSessionCloseIsBoundedOnASilentMember(t *testing.T) {
	const ttl = time.Second
	cluster := etcdtest.Start(t)
	client := newClient(t, cluster.Endpoints()...)
	closed, expired := newSession(t, client, WithTTL(1)), newSession(t, client, WithTTL(1))
	testclient.Throughout(t, ttl+300*time.Millisecond, func() bool {
		return expired.Ctx().Err() == nil
	}, "it is renewed")
	unkept := newSession(t, client, WithTTL(1)) // most likely not renewed even once
	require.NoError(t, cluster.Members()[0].Pause())

	took := testclient.Stopwatch(t)
	assert.ErrorIs(t, closed.Close(), context.DeadlineExceeded)
	assert.Less(t, took(), ttl+500*time.Millisecond, "Close is bounded by the TTL")
	assert.ErrorIs(t, ends(t, expired.Ctx(), ttl), clientv3.ErrKeepAliveExpired)
	assert.ErrorIs(t, ends(t, unkept.Ctx(), ttl), clientv3.ErrKeepAliveExpired)

	require.NoError(t, cluster.Members()[0].Resume())
	require.NoError(t, ignoreNotFound(closed.Close()), "Close may be called again")
	assert.Equal(t, int64(-1), timeToLive(t, client, closed.Lease()))
}

func ignoreNotFound(err error) error {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// TestNewSessionRevokes closes the client's Lease, so NewSession cannot keep a lease alive and
// fails. NewSession revokes a lease that it has granted itself. It does not revoke a lease that the
// caller has granted.
func TestNewSessionRevokes(t *testing.T) {
	fake, client := newFake(t)
	first := newSession(t, client)
	require.NoError(t, client.Lease.Close())
	ends(t, first.Ctx(), 5*time.Second)

	_, err := NewSession(client)
	require.ErrorAs(t, err, &clientv3.ErrKeepAliveHalted{})
	assert.Equal(t, []clientv3.LeaseID{first.Lease()}, testclient.LeaseIDs(fake.Leases()),
		"the second session's lease is revoked")

	lease, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	_, err = NewSession(client, WithLease(lease.ID))
	require.Error(t, err)
	assert.Contains(t, testclient.LeaseIDs(fake.Leases()), lease.ID, "one that was given is not")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = NewSession(client, WithContext(ended))
	assert.Equal(t, context.Canceled, err)
}

// TestFailedNewSessionEndsWithItsContext has NewSession fail after it was granted a lease, because
// the client's keep-alives are closed. No response comes to the revocation of the lease. NewSession
// returns when its context ends, and the lease expires later.
func TestFailedNewSessionEndsWithItsContext(t *testing.T) {
	fake, client := newFake(t)
	require.NoError(t, client.Lease.Close())
	fake.Delay("LeaseRevoke", time.Hour)
	ctx := inTime(t, 300*time.Millisecond)
	done := async(func() error { _, err := NewSession(client, WithContext(ctx)); return err })
	<-ctx.Done()
	took := testclient.Stopwatch(t)
	require.ErrorAs(t, result(t, done, time.Minute), &clientv3.ErrKeepAliveHalted{})
	assert.Less(t, took(), 100*time.Millisecond)
	assert.Equal(t, 1, fake.Calls("LeaseRevoke"))
	fake.Delay("LeaseRevoke", 0)
}

// TestSessionCloseIsRepeated loses the response to the first revocation of the lease. Close revokes
// the lease again and succeeds.
func TestSessionCloseIsRepeated(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client)
	fake.FailAfterApply("LeaseRevoke", 1, status.Error(codes.Unavailable, "lost"))
	assert.NoError(t, s.Close(), "not found at the second try is what was wanted")
	assert.Equal(t, 2, fake.Calls("LeaseRevoke"))
	assert.NoError(t, s.Close())
	assert.Equal(t, 2, fake.Calls("LeaseRevoke"))
}

// TestSessionCloseSaysThatTheTTLHasPassed has a member refuse each revocation of the lease. Close
// revokes the lease again and again until the TTL has passed, and returns DeadlineExceeded.
func TestSessionCloseSaysThatTheTTLHasPassed(t *testing.T) {
	fake, client := newFake(t)
	s := newSession(t, client, WithTTL(1))
	fake.Fail("LeaseRevoke", etcdfake.Forever, status.Error(codes.Unavailable, "no member answers"))
	assert.Equal(t, context.DeadlineExceeded, s.Close())
	assert.Greater(t, fake.Calls("LeaseRevoke"), 1)
}
