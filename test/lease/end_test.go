package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// ends lists the reasons for which a keepalive channel closes.
var ends = []struct {
	name string
	ctx  func(context.Context) context.Context
	do   func(t *testing.T, fake *etcdfake.Server, client *clientv3.Client, id clientv3.LeaseID)
	want error
}{
	{name: "expired", want: clientv3.ErrKeepAliveExpired,
		do: func(_ *testing.T, fake *etcdfake.Server, _ *clientv3.Client, _ clientv3.LeaseID) {
			fake.Stop()
		}},
	{name: "revoked", want: clientv3.ErrLeaseRevoked,
		do: func(t *testing.T, _ *etcdfake.Server, client *clientv3.Client,
			id clientv3.LeaseID) {
			_, err := client.Revoke(t.Context(), id)
			require.NoError(t, err)
		}},
	{name: "revoked elsewhere", want: rpctypes.ErrLeaseNotFound,
		do: func(t *testing.T, fake *etcdfake.Server, _ *clientv3.Client, id clientv3.LeaseID) {
			_, err := testclient.OpenFake(t, fake).Revoke(t.Context(), id)
			require.NoError(t, err)
		}},
	{name: "revoked elsewhere and here", want: rpctypes.ErrLeaseNotFound,
		do: func(t *testing.T, fake *etcdfake.Server, client *clientv3.Client,
			id clientv3.LeaseID) {
			_, err := testclient.OpenFake(t, fake).Revoke(t.Context(), id)
			require.NoError(t, err)
			_, err = client.Revoke(t.Context(), id)
			require.Equal(t, rpctypes.ErrLeaseNotFound, err)
		}},
	{name: "no leader", ctx: clientv3.WithRequireLeader, want: rpctypes.ErrNoLeader,
		do: func(_ *testing.T, fake *etcdfake.Server, _ *clientv3.Client, _ clientv3.LeaseID) {
			fake.Break("LeaseKeepAlive", rpctypes.ErrGRPCNoLeader)
		}},
	{name: "denied", want: rpctypes.ErrPermissionDenied,
		do: func(_ *testing.T, fake *etcdfake.Server, _ *clientv3.Client, _ clientv3.LeaseID) {
			fake.KeepAlive(deny)
			fake.Break("LeaseKeepAlive", nil)
		}},
	{name: "client closed", want: clientv3.ErrKeepAliveHalted{Reason: context.Canceled},
		do: func(t *testing.T, _ *etcdfake.Server, client *clientv3.Client,
			_ clientv3.LeaseID) {
			require.NoError(t, client.Close())
		}},
	{name: "context", want: context.DeadlineExceeded,
		ctx: func(ctx context.Context) context.Context {
			// The context ends after the server has answered the first renewal.
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			context.AfterFunc(ctx, cancel)
			return ctx
		}, do: func(*testing.T, *etcdfake.Server, *clientv3.Client, clientv3.LeaseID) {}},
}

// TestWhyAChannelWasClosed: the error that WithKeepAliveEnd stores tells why the channel closed.
func TestWhyAChannelWasClosed(t *testing.T) {
	for _, tc := range ends {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fake := etcdfake.Start(t)
			client := testclient.OpenFake(t, fake)
			id := grant(t, client, 2)
			ctx, end := clientv3.WithKeepAliveEnd(t.Context())
			if tc.ctx != nil {
				ctx = tc.ctx(ctx)
			}
			ch := keep(t, client, ctx, id)
			require.NoError(t, end.Err())
			tc.do(t, fake, client, id)
			waitClosed(t, ch)
			assert.Equal(t, tc.want, end.Err())
		})
	}
}

// deny refuses the first request of a stream, as a server does if the user may not write a key of
// the lease.
func deny(
	_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	_ func(*pb.LeaseKeepAliveResponse) error,
) error {
	if _, err := recv(); err != nil {
		return err
	}
	return rpctypes.ErrGRPCPermissionDenied
}

func TestEndOfAKeepAliveThatNeverBegan(t *testing.T) {
	client := testclient.OpenFake(t, etcdfake.Start(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ctx, end := clientv3.WithKeepAliveEnd(ctx)
	ch, err := client.KeepAlive(ctx, 1)
	require.NoError(t, err)
	waitClosed(t, ch)
	assert.Equal(t, context.Canceled, end.Err())

	require.NoError(t, client.Close())
	ctx, end = clientv3.WithKeepAliveEnd(t.Context())
	ch, err = client.KeepAlive(ctx, 1)
	assert.Equal(t, clientv3.ErrKeepAliveHalted{Reason: context.Canceled}, err)
	waitClosed(t, ch)
	assert.Equal(t, err, end.Err())
}

func TestTheFirstEndCounts(t *testing.T) {
	client := testclient.OpenFake(t, etcdfake.Start(t))
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	inner, innerEnd := clientv3.WithKeepAliveEnd(ctx)
	a, b := grant(t, client, 60), grant(t, client, 60)
	first, second, own := keep(t, client, ctx, a), keep(t, client, ctx, b),
		keepMore(t, client, inner, a)
	_, err := client.Revoke(t.Context(), a)
	require.NoError(t, err)
	waitClosed(t, first)
	waitClosed(t, own)
	require.NoError(t, client.Close())
	waitClosed(t, second)
	assert.Equal(t, clientv3.ErrLeaseRevoked, end.Err())
	assert.Equal(t, clientv3.ErrLeaseRevoked, innerEnd.Err())
}

// TestDeadlineCountsFromSending: the TTL in an answer counts from when its request was sent,
// because the answer may arrive late.
func TestDeadlineCountsFromSending(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 60)
	fake.Delay("LeaseKeepAlive", time.Second)
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	before := time.Now()
	ch, err := client.KeepAlive(ctx, id)
	require.NoError(t, err)
	require.Zero(t, end.Deadline())
	next(t, ch)
	received := time.Now()
	require.GreaterOrEqual(t, end.Deadline(), before.Add(60*time.Second))
	require.LessOrEqual(t, end.Deadline(), received.Add(59*time.Second))
}

func TestRevokeClosesTheChannelAtOnce(t *testing.T) {
	client := testclient.OpenFake(t, etcdfake.Start(t))
	id := grant(t, client, 3600)
	ch := keep(t, client, t.Context(), id)
	_, err := client.Revoke(t.Context(), id)
	require.NoError(t, err)
	assert.False(t, isOpen(ch), "by the time that Revoke returns")
}

// TestUnreadAnswersOfALeaseThatIsGone: when a lease is revoked or expires, the client removes the
// unread answers from the channel before it closes the channel. Otherwise a program that reads such
// an answer would think that the lease is alive. When the client is closed, the answers stay.
func TestUnreadAnswersOfALeaseThatIsGone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		end    func(*testing.T, *etcdfake.Server, *clientv3.Client, clientv3.LeaseID)
		unread bool
	}{
		{"revoked here", func(t *testing.T, _ *etcdfake.Server, client *clientv3.Client,
			id clientv3.LeaseID) {
			_, err := client.Revoke(t.Context(), id)
			require.NoError(t, err)
		}, false},
		{"revoked elsewhere", func(t *testing.T, fake *etcdfake.Server, _ *clientv3.Client,
			id clientv3.LeaseID) {
			_, err := testclient.OpenFake(t, fake).Revoke(t.Context(), id)
			require.NoError(t, err)
		}, false},
		{"expired", func(_ *testing.T, fake *etcdfake.Server, _ *clientv3.Client,
			_ clientv3.LeaseID) {
			fake.Stop()
		}, false},
		{"client closed", func(t *testing.T, _ *etcdfake.Server, client *clientv3.Client,
			_ clientv3.LeaseID) {
			require.NoError(t, client.Close())
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			fake := etcdfake.Start(t)
			client := testclient.OpenFake(t, fake)
			id := grant(t, client, 2)
			ctx, end := clientv3.WithKeepAliveEnd(t.Context())
			ch, err := client.KeepAlive(ctx, id)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return len(ch) > 0 }, soon, time.Millisecond)
			tc.end(t, fake, client, id)
			require.Eventually(t, func() bool { return end.Err() != nil }, soon, time.Millisecond)
			unread := false
			for range ch {
				unread = true
			}
			assert.Equal(t, tc.unread, unread)
		})
	}
}

func TestErrKeepAliveHalted(t *testing.T) {
	assert.EqualError(t, clientv3.ErrKeepAliveHalted{}, "etcdclient: lease keepalives have halted")
	assert.NoError(t, clientv3.ErrKeepAliveHalted{}.Unwrap())
	assert.ErrorIs(t, clientv3.ErrKeepAliveHalted{Reason: rpctypes.ErrAuthFailed},
		rpctypes.ErrAuthFailed)
}
