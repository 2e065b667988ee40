package lease_test

import (
	"context"
	"io"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// keep starts a keepalive of a lease and waits for the first answer.
func keep(
	t *testing.T, l clientv3.Lease, ctx context.Context, id clientv3.LeaseID,
) <-chan *clientv3.LeaseKeepAliveResponse {
	t.Helper()
	ch, err := l.KeepAlive(ctx, id)
	require.NoError(t, err)
	resp := next(t, ch)
	require.Equal(t, id, resp.ID)
	return ch
}

// renewals returns the times at which the fake server received requests to renew the lease.
func renewals(fake *etcdfake.Server, id clientv3.LeaseID) (at []time.Time) {
	for _, r := range fake.Requests("LeaseKeepAlive") {
		if req, ok := r.Msg.(*pb.LeaseKeepAliveRequest); ok && req.ID == int64(id) {
			at = append(at, r.Time)
		}
	}
	return at
}

func TestAfterCloseKeepAliveHasHalted(t *testing.T) {
	client := testclient.OpenFake(t, etcdfake.Start(t))
	lease := clientv3.NewLease(client)
	ch := keep(t, lease, t.Context(), grant(t, lease, 60))
	require.NoError(t, lease.Close())
	waitClosed(t, ch)
	ch, err := lease.KeepAlive(t.Context(), 1)
	assert.Equal(t, clientv3.ErrKeepAliveHalted{Reason: context.Canceled}, err)
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "halted: context canceled")
	waitClosed(t, ch)
	require.NoError(t, lease.Close())

	keep(t, client, t.Context(), grant(t, client, 60)) // the client's own Lease is not closed
}

// TestKeepAlivesOutliveRefusedStreams: keepalives outlive streams that the server refuses. The log
// says why each was opened again.
func TestKeepAlivesOutliveRefusedStreams(t *testing.T) {
	fake := etcdfake.Start(t)
	core, logs := observer.New(zap.DebugLevel)
	client := testclient.OpenFake(t, fake, func(cfg *clientv3.Config) {
		cfg.Logger = zap.New(core)
	})
	id := grant(t, client, 2)
	ch := keep(t, client, t.Context(), id)
	refusal := status.Error(codes.Unimplemented,
		"unexpected HTTP status code received from server: 404 (Not Found)")
	fake.Fail("LeaseKeepAlive", 3, refusal)
	fake.Break("LeaseKeepAlive", refusal)
	next(t, ch)
	next(t, ch)
	keep(t, client, t.Context(), grant(t, client, 60))
	lines := logs.FilterMessage("lease keepalive stream ended, opening it again").FilterLevelExact(
		zap.WarnLevel)
	assert.NotZero(t, lines.Len())
	assert.LessOrEqual(t, lines.Len(), 3)
}

func TestStreamOpensWithTheFirstKeepAlive(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 60)
	_, total := fake.Streams("LeaseKeepAlive")
	assert.Zero(t, total)
	keep(t, client, t.Context(), id)
	keep(t, client, t.Context(), grant(t, client, 60))
	_, total = fake.Streams("LeaseKeepAlive")
	assert.Equal(t, 1, total)

	unused := testclient.OpenFake(t, fake)
	require.NoError(t, unused.Close())
}

func TestNoGoroutinesPerLease(t *testing.T) {
	client := testclient.OpenFake(t, etcdfake.Start(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	keep(t, client, t.Context(), grant(t, client, 60))
	before := runtime.NumGoroutine()
	for range 1000 {
		id := grant(t, client, 60)
		keep(t, client, context.Background(), id)
		keepMore(t, client, ctx, id)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before+4)
}

// keepMore starts another keepalive of a lease that is kept already.
func keepMore(
	t *testing.T, l clientv3.Lease, ctx context.Context, id clientv3.LeaseID,
) <-chan *clientv3.LeaseKeepAliveResponse {
	t.Helper()
	ch, err := l.KeepAlive(ctx, id)
	require.NoError(t, err)
	return ch
}

func TestLostLeaderAndLeavingSubscribers(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 2)
	ctx, cancel := context.WithCancel(t.Context())
	plain := keep(t, client, ctx, id)
	strict := keepMore(t, client, clientv3.WithRequireLeader(t.Context()), id)

	require.Equal(t, 1, fake.Break("LeaseKeepAlive", rpctypes.ErrGRPCNoLeader))
	waitClosed(t, strict)
	before := len(renewals(fake, id))
	require.Eventually(t, func() bool {
		return len(renewals(fake, id)) > before+4
	}, soon, 10*time.Millisecond)
	assert.True(t, isOpen(plain))
	cancel()
	waitClosed(t, plain)
	assert.Eventually(t, func() bool {
		return len(fake.Leases()) == 0
	}, soon, 10*time.Millisecond, "the lease is kept no more")
}

func TestWithoutAnswersTheChannelClosesAfterTheTTL(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	ch := keep(t, client, ctx, grant(t, client, 2))
	fake.Stop()
	start, took := time.Now(), testclient.Stopwatch(t)
	waitClosed(t, ch)
	assert.Greater(t, time.Since(start), time.Second)
	assert.Less(t, took(), 3*time.Second)
	assert.Equal(t, clientv3.ErrKeepAliveExpired, end.Err())
}

func TestFirstAnswerHasASecondMoreThanTheDialTimeout(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake, func(cfg *clientv3.Config) {
		cfg.DialTimeout = 500 * time.Millisecond
	})
	fake.Stop()
	start, took := time.Now(), testclient.Stopwatch(t)
	ch, err := client.KeepAlive(t.Context(), 7)
	require.NoError(t, err)
	waitClosed(t, ch)
	assert.GreaterOrEqual(t, time.Since(start), 1500*time.Millisecond)
	assert.Less(t, took(), 3*time.Second)

	lease := clientv3.NewLeaseFromLeaseClient(clientv3.RetryLeaseClient(client), nil,
		1100*time.Millisecond)
	defer func() { assert.NoError(t, lease.Close()) }()
	start, took = time.Now(), testclient.Stopwatch(t)
	ch, err = lease.KeepAlive(t.Context(), 7)
	require.NoError(t, err)
	waitClosed(t, ch)
	assert.GreaterOrEqual(t, time.Since(start), 1100*time.Millisecond)
	assert.Less(t, took(), 3*time.Second)
}

// TestKeepAliveLeavesASilentMember: if a member does not answer on the keepalive stream, the client
// opens a stream to another member. It does not choose the silent member again.
func TestKeepAliveLeavesASilentMember(t *testing.T) {
	t.Parallel()
	members := etcdfake.StartCluster(t, 2)
	client := testclient.OpenFake(t, members[0], func(cfg *clientv3.Config) {
		cfg.Endpoints = append(cfg.Endpoints, members[1].Addr())
	})
	id := grant(t, client, 6)
	ch := keep(t, client, t.Context(), id)
	for _, m := range members {
		if open, _ := m.Streams("LeaseKeepAlive"); open == 1 {
			m.Delay("LeaseKeepAlive", time.Hour)
		}
	}
	require.NotNil(t, next(t, ch))
	assert.Len(t, members[0].Leases(), 1)
}

func TestDroppedAnswersAreLoggedOnce(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	client := testclient.OpenFake(t, etcdfake.Start(t), func(cfg *clientv3.Config) {
		cfg.Logger = zap.New(core)
	})
	id := grant(t, client, 60)
	keep(t, client, t.Context(), id)
	size := clientv3.LeaseResponseChSize
	defer func() { clientv3.LeaseResponseChSize = size }()
	clientv3.LeaseResponseChSize = 0
	for range 20 {
		_, err := client.KeepAlive(t.Context(), grant(t, client, 60))
		require.NoError(t, err)
	}
	clientv3.LeaseResponseChSize = size
	keep(t, client, t.Context(), grant(t, client, 60))
	assert.Equal(t, 1, logs.FilterMessageSnippet("answers dropped").Len())
}

func TestHostileKeepAliveStreams(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	fake.KeepAlive(func(_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
		send func(*pb.LeaseKeepAliveResponse) error) error {
		req, err := recv()
		if err != nil {
			return err
		}
		for _, resp := range []*pb.LeaseKeepAliveResponse{
			{}, {ID: -1, TTL: -1}, {ID: math.MinInt64, TTL: math.MaxInt64},
			{ID: req.ID, TTL: math.MaxInt64}, {ID: req.ID, TTL: math.MaxInt64},
			{ID: req.ID, TTL: math.MinInt64},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
		_, err = recv()
		return err
	})
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	ch, err := client.KeepAlive(ctx, 7)
	require.NoError(t, err)
	// The server's two valid answers may be missing: when the lease ends, the client discards the
	// answers that are unread.
	for resp := range ch {
		assert.Nil(t, resp.ResponseHeader)
		assert.Equal(t, int64(math.MaxInt64), resp.TTL)
	}
	assert.Equal(t, rpctypes.ErrLeaseNotFound, end.Err())
}

func TestKeepAliveOverAnInProcessStream(t *testing.T) {
	_, other := testclient.StartFake(t, clientv3.Config{})
	streams := pipes.NewLease(pb.NewLeaseClient(other.ActiveConnection()), answerSixty)
	t.Cleanup(streams.Close)
	client := clientv3.NewCtxClient(t.Context())
	client.Lease = clientv3.NewLeaseFromLeaseClient(streams, client, time.Second)
	id := grant(t, client, 60)
	ch := keep(t, client, t.Context(), id)
	_, err := client.KeepAliveOnce(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	waitClosed(t, ch)
	require.Eventually(t, func() bool {
		open, _ := streams.Streams()
		return open == 0
	}, soon, time.Millisecond)
}

// answerSixty renews each lease for 60 seconds.
func answerSixty(_ context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	send func(*pb.LeaseKeepAliveResponse) error) error {
	for {
		req, err := recv()
		if err != nil {
			return err
		}
		if err := send(&pb.LeaseKeepAliveResponse{ID: req.ID, TTL: 60}); err != nil {
			return err
		}
	}
}

// TestKeepAliveSurvivesItsStreams: a stream that a server ends, with or without an error, is opened
// again.
func TestKeepAliveSurvivesItsStreams(t *testing.T) {
	t.Parallel()
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	id := grant(t, client, 2)
	ch := keep(t, client, t.Context(), id)
	for _, err := range []error{nil, io.ErrUnexpectedEOF, rpctypes.ErrGRPCStopped,
		rpctypes.ErrGRPCLeaderChanged, rpctypes.ErrGRPCRequestTooManyRequests} {
		fake.Break("LeaseKeepAlive", err)
		next(t, ch)
		next(t, ch)
	}
	fake.Cut()
	next(t, ch)
	assert.Len(t, fake.Leases(), 1)
}
