package keepalive

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

func TestStreamOpensWithTheFirstLease(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		synctest.Wait()
		dials, _ := c.count()
		assert.Zero(t, dials)
		s := keep(t, k, bg, 1, false)
		assert.EqualValues(t, 9, (<-s.ch).TTL)
	})
}

func TestCloseWithoutAnyLeaseReturns(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		k.Close(context.Canceled)
		k.Close(context.Canceled)
		dials, _ := c.count()
		assert.Zero(t, dials)
	})
}

func TestAfterCloseThereIsOnlyTheHalt(t *testing.T) {
	keepers(t, func(k *Keeper, _ *cluster) {
		s := keep(t, k, bg, 1, false)
		k.Close(context.Canceled)
		require.ErrorIs(t, s.end(), errHalted)
		require.ErrorIs(t, s.reason, context.Canceled)
		err := k.KeepAlive(bg, 1, new(Subscriber), newSink(), false)
		require.ErrorIs(t, err, errHalted)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestAClientWithoutConnectionHalts: a Keeper halts after one attempt that fails with
// [classify.NoEndpoints], because no later attempt can succeed.
func TestAClientWithoutConnectionHalts(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		c.refuse = status.Error(codes.FailedPrecondition, classify.NoEndpoints)
		a := keep(t, k, bg, 1, false)
		require.ErrorIs(t, a.end(), errHalted)
		require.ErrorIs(t, k.KeepAlive(bg, 3, new(Subscriber), newSink(), false), errHalted)
		dials, _ := c.count()
		assert.Equal(t, 1, dials)
	})
}

// TestEveryStatusOfAStreamIsOutlived: a load balancer may answer a stream with any status for a
// second, and a member of a young cluster answers "not capable" until it knows the cluster's
// version. The leases are kept alive after each such status.
func TestEveryStatusOfAStreamIsOutlived(t *testing.T) {
	for _, err := range []error{
		io.EOF,
		rpctypes.ErrGRPCStopped,
		rpctypes.ErrGRPCTimeout,
		rpctypes.ErrGRPCNotSupportedForLearner,
		rpctypes.ErrGRPCNotCapable,
		rpctypes.ErrGRPCInvalidAuthToken,
		rpctypes.ErrGRPCAuthFailed,
		rpctypes.ErrGRPCLeaseNotFound,
		rpctypes.ErrGRPCCorrupt,
		status.Error(codes.Unimplemented, "unexpected HTTP status code received from server: 404 (Not Found)"),
		status.Error(codes.PermissionDenied, "unexpected HTTP status code received from server: 403 (Forbidden)"),
		status.Error(codes.Unauthenticated, "unexpected HTTP status code received from server: 401 (Unauthorized)"),
		status.Error(codes.ResourceExhausted, "ENHANCE_YOUR_CALM"),
		status.Error(codes.NotFound, "x"),
		status.Error(codes.DataLoss, "x"),
		status.Error(codes.FailedPrecondition, "x"),
		status.Error(codes.InvalidArgument, "x"),
		status.Error(codes.Canceled, "grpc: the client connection is closing"),
		status.Error(codes.Unavailable, "connection reset"),
		status.Error(codes.Internal, "stream ended"),
		status.Error(codes.Unknown, "proxy"),
	} {
		keepers(t, func(k *Keeper, c *cluster) {
			s := keep(t, k, bg, 1, false)
			synctest.Wait()
			// A dial returns the error "connection is closing" only if the client is closed.
			if !classify.IsConnClosing(err) {
				c.set(func() { c.refuse = err })
			}
			c.breakStream(err)
			time.Sleep(4 * time.Second)
			dials, _ := c.count()
			assert.True(t, dials > 3 || classify.IsConnClosing(err))
			assert.Less(t, dials, 20, "restraint")
			c.set(func() { c.refuse = nil })
			time.Sleep(20 * time.Second)
			assert.True(t, s.open(), "%v", err)
			c.set(func() { assert.Equal(t, err, c.lasts[1]) })
		})
	}
}

func TestNoLeaderFromTheServer(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		plain, strict := keep(t, k, bg, 1, false), keep(t, k, bg, 1, true)
		synctest.Wait()
		c.breakStream(rpctypes.ErrGRPCNoLeader)
		assert.Equal(t, rpctypes.ErrNoLeader, strict.end())
		time.Sleep(20 * time.Second)
		assert.True(t, plain.open())
	})
}

func TestRefusedLeaseDoesNotTakeOthersAlong(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		good := keep(t, k, bg, 1, false)
		synctest.Wait()
		c.set(func() { c.ttl = 0 })
		denied, next := keep(t, k, bg, 2, false), keep(t, k, bg, 3, false)
		synctest.Wait()
		c.set(func() { c.ttl = 9 })
		c.breakStream(rpctypes.ErrGRPCPermissionDenied)
		assert.Equal(t, rpctypes.ErrPermissionDenied, denied.end())
		time.Sleep(20 * time.Second)
		assert.True(t, good.open())
		assert.True(t, next.open())
	})
}

// TestRefusedDialsLeaveTheLeaseToItsTTL: while no stream can be opened, a lease is kept until its
// TTL has passed. A dial that fails with "permission denied" does not end the lease earlier.
func TestRefusedDialsLeaveTheLeaseToItsTTL(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		c.refuse = rpctypes.ErrGRPCPermissionDenied
		s := keep(t, k, bg, 1, false)
		assert.Equal(t, errExpired, s.end())
		c.set(func() { c.refuse = nil })
		assert.EqualValues(t, 9, (<-keep(t, k, bg, 1, false).ch).TTL)
	})
}

func TestReasonIsTheContexts(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		c.refuse = status.Error(codes.Unavailable, "down") // disconnected all the time
		ctx, cancel := context.WithCancel(bg)
		timed, cancelTimed := context.WithTimeout(bg, time.Second)
		defer cancelTimed()
		a, b, other := keep(t, k, ctx, 1, false), keep(t, k, timed, 1, false),
			keep(t, k, bg, 1, false)
		cancel()
		synctest.Wait()
		assert.Equal(t, context.Canceled, a.end())
		assert.Equal(t, context.DeadlineExceeded, b.end())
		assert.True(t, other.open())
		assert.Equal(t, errExpired, other.end())
	})
}

func TestContextsThatCannotBeComparedAreAccepted(t *testing.T) {
	type odd struct {
		context.Context
		_ []int // makes the type incomparable
	}
	keepers(t, func(k *Keeper, _ *cluster) {
		ctx, cancel := context.WithCancel(bg)
		a, b := keep(t, k, odd{Context: ctx}, 1, false), keep(t, k, odd{Context: ctx}, 1, false)
		never := keep(t, k, odd{Context: bg}, 1, false)
		synctest.Wait()
		cancel()
		assert.Equal(t, context.Canceled, a.end())
		assert.Equal(t, context.Canceled, b.end())
		assert.True(t, never.open())
	})
}

func TestRemoveClosesAtOnce(t *testing.T) {
	keepers(t, func(k *Keeper, _ *cluster) {
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		a, b := keep(t, k, ctx, 1, false), keep(t, k, bg, 2, false)
		k.Remove(1, errLeft)
		k.Remove(7, errLeft)
		assert.Equal(t, errLeft, a.end())
		assert.True(t, b.open())
		k.Remove(2, errLeft)
	})
}

func TestHaltByTheKeepersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{ttl: 9}
		ctx, cancel := context.WithCancel(bg)
		k := New(ctx, c.config())
		s := keep(t, k, bg, 1, false)
		cancel()
		require.ErrorIs(t, s.end(), context.Canceled)
		require.ErrorIs(t, k.KeepAlive(bg, 1, new(Subscriber), newSink(), false), errHalted)
		k.Close(io.EOF)

		k = New(ctx, c.config())
		err := k.KeepAlive(bg, 1, new(Subscriber), newSink(), false)
		require.ErrorIs(t, err, context.Canceled)
		k.Close(io.EOF)
	})
}

func TestStalledStreamIsReplaced(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		s := keep(t, k, bg, 1, false)
		synctest.Wait()
		c.set(func() { c.ttl = 0 })
		time.Sleep(4 * time.Second) // the next renewal is sent after 3 s, and not answered
		c.set(func() { c.ttl = 9 })
		time.Sleep(30 * time.Second)
		assert.True(t, s.open())
		dials, asked := c.count()
		assert.Equal(t, 2, dials)
		assert.InDelta(t, 12, asked, 2)
		c.set(func() { assert.Equal(t, ErrStalled, c.lasts[1]) })
	})
}

func TestDroppedAnswersAreReportedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{ttl: 3}
		cfg := c.config()
		var reports, total int
		cfg.Dropped = func(n int) { reports++; total += n }
		k := New(bg, cfg)
		for id := range int64(10) {
			keep(t, k, bg, id, false)
		}
		time.Sleep(65 * time.Second)
		k.Close(io.EOF)
		assert.InDelta(t, 7, reports, 1)
		assert.Greater(t, total, 400)
	})
}

func TestConcurrentUse(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() { comeAndGo(k, g%2 == 0) })
		}
		for range 20 {
			time.Sleep(time.Millisecond)
			c.set(func() {
				select {
				case c.stream.err <- rpctypes.ErrGRPCStopped:
				default:
				}
			})
		}
		wg.Wait()
	})
}

// comeAndGo subscribes and leaves, over and over.
func comeAndGo(k *Keeper, requireLeader bool) {
	for i := range 100 {
		ctx, cancel := context.WithCancel(bg)
		s, id := newSink(), int64(i%5)
		if k.KeepAlive(ctx, id, new(Subscriber), s, requireLeader) != nil {
			panic("the keeper has halted")
		}
		if i%3 == 0 {
			<-s.ch
		}
		if i%50 == 20 {
			k.Remove(id, errLeft)
		}
		cancel()
		_ = s.end()
	}
}
