package clientv3

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestWritesAreAppliedOnce has the server apply a write and then answer each
// code there is.
func TestWritesAreAppliedOnce(t *testing.T) {
	s, c := newFakeClient(t, Config{BackoffWaitBetween: time.Millisecond})
	writes := map[string]func(context.Context) error{
		"Put": func(ctx context.Context) error {
			_, err := c.Put(ctx, "k", "v")
			return err
		},
		"DeleteRange": func(ctx context.Context) error { _, err := c.Delete(ctx, "k"); return err },
		"Txn": func(ctx context.Context) error {
			_, err := c.Txn(ctx).Then(OpPut("k", "v")).Commit()
			return err
		},
		"Compact": func(ctx context.Context) error {
			_, err := c.Compact(ctx, s.Revision())
			return err
		},
	}
	for method, write := range writes {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			t.Run(fmt.Sprint(method, " ", code), func(t *testing.T) {
				before := s.Calls(method)
				s.FailAfterApply(method, 1, status.Error(code, "after it was applied"))
				assert.Equal(t, code, status.Code(write(t.Context())))
				assert.Equal(t, 1, s.Calls(method)-before)
				_, err := c.Put(t.Context(), "another", "revision")
				require.NoError(t, err)
			})
		}
	}
}

// TestLostConnectionIsAmbiguous: the connection breaks after the write was
// applied; the client must not send it again.
func TestLostConnectionIsAmbiguous(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	s.FailAfterApply("Put", 1, nil)
	s.Delay("Put", time.Hour)
	errs := make(chan error, 1)
	// ends with the connection, awaited below
	go func() { _, err := c.Put(t.Context(), "k", "v"); errs <- err }()
	eventually(t, func() bool { return s.Calls("Put") == 1 }, "the write is under way")
	s.CloseConns()
	assert.Equal(t, codes.Unavailable, status.Code(<-errs))
	s.Delay("Put", 0)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, 1, s.Calls("Put"))
}

// TestWritesBehindInterceptorsThatKeepOptionsBackAreAppliedOnce: an interceptor of the user's
// withholds the call options, or the context, from gRPC. gRPC then cannot name the peer of the
// call, which must not be taken for proof that the write got no connection. Such a write counts as
// sent.
func TestWritesBehindInterceptorsThatKeepOptionsBackAreAppliedOnce(t *testing.T) {
	for name, mangle := range map[string]grpc.UnaryClientInterceptor{
		"options": func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn,
			next grpc.UnaryInvoker, _ ...grpc.CallOption) error {
			return next(ctx, m, req, reply, cc)
		},
		"context and options": func(_ context.Context, m string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, _ ...grpc.CallOption) error {
			return next(context.Background(), m, req, reply, cc)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newFakeClient(t, Config{DialOptions: []grpc.DialOption{
				grpc.WithChainUnaryInterceptor(mangle)}})
			s.FailAfterApply("Put", 1, status.Error(codes.Unavailable, "after it was applied"))
			_, err := c.Put(t.Context(), "k", "v")
			assert.Equal(t, codes.Unavailable, status.Code(err))
			assert.Equal(t, 1, s.Applied("Put"))
		})
	}
}

// TestWritesBehindInterceptorsThatDoNotWaitAreAppliedOnce: an interceptor returns while gRPC still
// works on the request. gRPC names the peer only when the call ends, so the write counts as sent.
func TestWritesBehindInterceptorsThatDoNotWaitAreAppliedOnce(t *testing.T) {
	var s *etcdfake.Server
	var calls sync.WaitGroup
	attempts := 0
	s, c := newFakeClient(t, Config{DialOptions: []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, _ any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			// ends with the server's answer, awaited below
			calls.Go(func() { _ = next(ctx, m, req, &pb.PutResponse{}, cc, opts...) })
			attempts++
			eventually(t, func() bool {
				return len(s.Requests("Put")) == attempts
			}, "it is under way")
			return status.Error(codes.Unavailable, "too slow")
		}),
	}})
	s.Delay("Put", 100*time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := c.Put(ctx, "k", "v")
	assert.Equal(t, codes.Unavailable, status.Code(err))
	calls.Wait()
	assert.Equal(t, 1, s.Applied("Put"))
}

// namelessConn is a connection, as a tunnel of the user's may be, that does not know
// whom it leads to.
type namelessConn struct{ net.Conn }

func (namelessConn) RemoteAddr() net.Addr { return nil }

// TestWritesOverConnectionsWithoutAddressAreAppliedOnce: a connection that the user's dialer made
// may have no remote address. gRPC then names a peer without an address, which must not be taken
// for a call that got no connection.
func TestWritesOverConnectionsWithoutAddressAreAppliedOnce(t *testing.T) {
	s, c := newFakeClient(t, Config{DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return namelessConn{conn}, err
		}),
	}})
	s.FailAfterApply("Put", 1, status.Error(codes.Unavailable, "after it was applied"))
	_, err := c.Put(t.Context(), "k", "v")
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.Equal(t, 1, s.Applied("Put"))
}

// TestWritesWaitForAConnection: what was never sent is sent once there is a
// connection.
func TestWritesWaitForAConnection(t *testing.T) {
	s, c := newFakeClient(t, Config{})
	s.Stop()
	errs := make(chan error, 1)
	// ends once the server is back, awaited below
	go func() { _, err := c.Put(t.Context(), "k", "v"); errs <- err }()
	s.Restart()
	require.NoError(t, <-errs)
	assert.Equal(t, 1, s.Calls("Put"))
}

// TestReadsAreRetried counts how often a read is sent for each failure.
func TestReadsAreRetried(t *testing.T) {
	for _, tc := range []struct {
		name    string
		fail    error
		members int
		calls   int
		want    error
	}{
		{"unavailable", status.Error(codes.Unavailable, "x"), 1, 3, nil},
		{"no leader", rpctypes.ErrGRPCNoLeader, 1, 3, nil},
		{"leader changed", rpctypes.ErrGRPCLeaderChanged, 2, 3, nil},
		{"timed out", rpctypes.ErrGRPCTimeout, 1, 3, nil},
		{"stopping", rpctypes.ErrGRPCStopped, 1, 3, nil},
		{"learner, others there", rpctypes.ErrGRPCNotSupportedForLearner, 2, 3, nil},
		{"lone learner", rpctypes.ErrGRPCNotSupportedForLearner, 1, 1,
			rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)},
		{"precondition", rpctypes.ErrGRPCNotCapable, 2, 1, rpctypes.ErrNotCapable},
		{"compacted", rpctypes.ErrGRPCCompacted, 2, 1, rpctypes.ErrCompacted},
		{"too many requests", rpctypes.ErrGRPCRequestTooManyRequests, 2, 3, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, tc.members)
			var eps []string
			for i, m := range members {
				m.Fail("Range", 2/tc.members, tc.fail)
				if i == 0 && tc.calls == 1 {
					m.Fail("Range", etcdfake.Forever, tc.fail)
				}
				eps = append(eps, m.Addr())
			}
			c := newTestClient(t, Config{Endpoints: eps, BackoffWaitBetween: time.Millisecond})
			eventually(t, func() bool { // all are in use, so that attempts go round
				_, err := c.Put(t.Context(), "k", "v")
				require.NoError(t, err)
				return members[0].Calls("Put") > 0 && members[len(members)-1].Calls("Put") > 0
			}, "every member is asked")
			_, err := c.Get(t.Context(), "k")
			assert.Equal(t, tc.want, err)
			calls := 0
			for _, m := range members {
				calls += m.Calls("Range")
			}
			assert.Equal(t, tc.calls, calls)
		})
	}
}

// TestRequestRateDecaysWhileNoMemberServes: many callers against a server that fails for seconds.
func TestRequestRateDecaysWhileNoMemberServes(t *testing.T) {
	const callers, outage = 300, 4 * time.Second
	s, c := newFakeClient(t, Config{})
	s.Fail("Range", etcdfake.Forever, rpctypes.ErrGRPCNoLeader)
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			_, err := c.Get(t.Context(), "k")
			assert.NoError(t, err)
		})
	}
	time.Sleep(outage)
	s.Fail("Range", 0, nil)
	back := time.Now()
	work.Wait()
	assert.Less(t, time.Since(back), 3*time.Second, "all are served soon after the outage")

	requests := s.Requests("Range")
	perSecond := map[int]int{}
	for _, r := range requests {
		perSecond[int(r.Time.Sub(requests[0].Time)/time.Second)]++
	}
	t.Log(perSecond)
	assert.Less(t, perSecond[3], perSecond[0]/3)
	assert.Less(t, perSecond[3], 2*callers)
}

func TestMaxUnaryRetriesCountsAttempts(t *testing.T) {
	for _, n := range []uint{1, 3} {
		s, c := newFakeClient(t, Config{MaxUnaryRetries: n, BackoffWaitBetween: time.Millisecond})
		s.Fail("Range", etcdfake.Forever, rpctypes.ErrGRPCNoLeader)
		_, err := c.Get(t.Context(), "k")
		assert.Equal(t, rpctypes.ErrNoLeader, err)
		assert.Equal(t, int(n), s.Calls("Range"))
	}
}

func TestWaitBetweenAndJitter(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"},
		BackoffWaitBetween: time.Second, BackoffJitterFraction: 0.25})
	p := c.retryConfig().Backoff
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := p.Delay(0)
		low, high = min(low, d), max(high, d)
	}
	assert.InDelta(t, 750, low.Milliseconds(), 25)
	assert.InDelta(t, 1250, high.Milliseconds(), 25)
}
