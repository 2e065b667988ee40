package kv_test

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
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestWritesAreAppliedOnce: the server applies a write, but answers with an error. Whatever the
// status code, the client does not send the write again.
func TestWritesAreAppliedOnce(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{BackoffWaitBetween: time.Millisecond})
	writes := map[string]func(context.Context) error{
		"Put": func(ctx context.Context) error {
			_, err := c.Put(ctx, "k", "v")
			return err
		},
		"DeleteRange": func(ctx context.Context) error { _, err := c.Delete(ctx, "k"); return err },
		"Txn": func(ctx context.Context) error {
			_, err := c.Txn(ctx).Then(clientv3.OpPut("k", "v")).Commit()
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

// TestLostConnectionIsAmbiguous breaks the connection after the server has applied a write. The
// client does not send the write again.
func TestLostConnectionIsAmbiguous(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	s.FailAfterApply("Put", 1, nil)
	s.Delay("Put", time.Hour)
	errs := make(chan error, 1)
	// ends when the connection is cut; the test waits for that below
	go func() { _, err := c.Put(t.Context(), "k", "v"); errs <- err }()
	testclient.Eventually(t, func() bool { return s.Calls("Put") == 1 }, "the write is under way")
	s.Cut()
	assert.Equal(t, codes.Unavailable, status.Code(<-errs))
	s.Delay("Put", 0)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, 1, s.Calls("Put"))
}

// TestWritesBehindInterceptorsThatKeepOptionsBackAreAppliedOnce has an interceptor that withholds
// the call options, or the context, from gRPC. gRPC then cannot name the peer of the call. The
// client must not conclude that the write never got a connection: it counts the write as sent and
// does not repeat it.
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
			s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
				grpc.WithChainUnaryInterceptor(mangle)}})
			s.FailAfterApply("Put", 1, status.Error(codes.Unavailable, "after it was applied"))
			_, err := c.Put(t.Context(), "k", "v")
			assert.Equal(t, codes.Unavailable, status.Code(err))
			assert.Equal(t, 1, s.Applied("Put"))
		})
	}
}

// TestWritesBehindInterceptorsThatDoNotWaitAreAppliedOnce has an interceptor that returns while
// gRPC still works on the request. gRPC names the peer only when the call ends. So the client does
// not know whether the write was sent, and does not send it again.
func TestWritesBehindInterceptorsThatDoNotWaitAreAppliedOnce(t *testing.T) {
	var s *etcdfake.Server
	var calls sync.WaitGroup
	attempts := 0
	s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, _ any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			// ends when the server has answered; the test waits for that below
			calls.Go(func() { _ = next(ctx, m, req, &pb.PutResponse{}, cc, opts...) })
			attempts++
			testclient.Eventually(t, func() bool {
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

// namelessConn is a connection without a remote address, as a user's tunnel may be.
type namelessConn struct{ net.Conn }

func (namelessConn) RemoteAddr() net.Addr { return nil }

// TestWritesOverConnectionsWithoutAddressAreAppliedOnce has a dialer that makes connections without
// a remote address. gRPC then names a peer without an address. The client must not conclude that
// the write never got a connection.
func TestWritesOverConnectionsWithoutAddressAreAppliedOnce(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
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

// TestWritesWaitForAConnection stops the server before a write. The write is sent when the server
// is back.
func TestWritesWaitForAConnection(t *testing.T) {
	began := make(chan struct{})
	begin := sync.OnceFunc(func() { close(began) })
	s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, m string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			begin()
			return next(ctx, m, req, reply, cc, opts...)
		}),
	}})
	s.Stop()
	testclient.Eventually(t, func() bool {
		return c.ActiveConnection().GetState() != connectivity.Ready
	}, "the client has seen its connection end")
	errs := make(chan error, 1)
	// ends when the server is back; the test waits for that below
	go func() { _, err := c.Put(t.Context(), "k", "v"); errs <- err }()
	<-began
	s.Start()
	require.NoError(t, <-errs)
	assert.Equal(t, 1, s.Calls("Put"))
}

// TestReadsAreRetried counts how often a read is sent if its first attempts fail.
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
			c := testclient.New(t, clientv3.Config{Endpoints: eps,
				BackoffWaitBetween: time.Millisecond})
			// Attempts reach every member only when the client is connected to all members.
			testclient.Eventually(t, func() bool {
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

// TestRequestRateDecaysWhileNoMemberServes has many callers read from a server that fails for
// seconds. They ask less and less often, and are all served soon after the outage.
func TestRequestRateDecaysWhileNoMemberServes(t *testing.T) {
	const callers, outage = 300, 4 * time.Second
	s, c := testclient.StartFake(t, clientv3.Config{})
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
	serving := testclient.Stopwatch(t)
	work.Wait()
	assert.Less(t, serving(), 3*time.Second, "all are served soon after the outage")

	requests := s.Requests("Range")
	perSecond := map[int]int{}
	for _, r := range requests {
		perSecond[int(r.Time.Sub(requests[0].Time)/time.Second)]++
	}
	t.Log(perSecond)
	assert.Less(t, perSecond[3], 2*callers)
	assert.Less(t, len(requests), 12*callers, "of four seconds and the return")
}

func TestMaxUnaryRetriesCountsAttempts(t *testing.T) {
	for _, n := range []uint{1, 3} {
		s, c := testclient.StartFake(t, clientv3.Config{MaxUnaryRetries: n,
			BackoffWaitBetween: time.Millisecond})
		s.Fail("Range", etcdfake.Forever, rpctypes.ErrGRPCNoLeader)
		_, err := c.Get(t.Context(), "k")
		assert.Equal(t, rpctypes.ErrNoLeader, err)
		assert.Equal(t, int(n), s.Calls("Range"))
	}
}

// tooManyOnTheWire is ErrTooManyRequests as an etcd server sends it. The server's handler returns
// an error without a gRPC status, so gRPC sends it with the code Unknown.
var tooManyOnTheWire = status.Error(codes.Unknown, rpctypes.ErrTooManyRequests.Error())

// TestWriteRefusedWithTooManyRequestsGoesToAnotherMember: a write that is refused with
// ErrTooManyRequests is sent at most once to each member, and is applied once. etcd refuses such a
// write before it makes a Raft proposal, so the client can safely send it again.
func TestWriteRefusedWithTooManyRequestsGoesToAnotherMember(t *testing.T) {
	for name, even := range map[string]bool{"by health": false, "evenly": true} {
		for refusing := 1; refusing <= 3; refusing++ {
			t.Run(name, func(t *testing.T) {
				members := etcdfake.StartCluster(t, 3)
				var eps []string
				for _, m := range members {
					eps = append(eps, m.Addr())
				}
				c := testclient.New(t, clientv3.Config{Endpoints: eps, SpreadEvenly: even,
					BackoffWaitBetween: time.Millisecond})
				testclient.Eventually(t, func() bool { // all are connected
					_, err := c.Get(t.Context(), "k")
					require.NoError(t, err)
					return members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0 &&
						members[2].Calls("Range") > 0
				}, "every member is asked")
				for _, m := range members[:refusing] {
					m.Fail("Put", etcdfake.Forever, tooManyOnTheWire)
				}
				for range 3 {
					_, err := c.Put(t.Context(), "k", "v")
					if refusing == len(members) {
						require.Equal(t, rpctypes.ErrTooManyRequests, err)
					} else {
						require.NoError(t, err)
					}
				}
				calls, applied := 0, 0
				for _, m := range members {
					calls += m.Calls("Put")
					applied += m.Applied("Put")
				}
				assert.LessOrEqual(t, calls, 3*len(members))
				if refusing == len(members) {
					assert.Equal(t, 3*len(members), calls)
				} else {
					assert.Equal(t, 3, applied)
				}
			})
		}
	}
}

// TestMemberThatCatchesUpFailsNoWrite: one of three members is behind its peers. It refuses all
// writes with "too many requests", but answers serializable reads. No write of the client fails.
func TestMemberThatCatchesUpFailsNoWrite(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := testclient.New(t, clientv3.Config{BackoffWaitBetween: time.Millisecond,
		Endpoints: []string{members[0].Addr(), members[1].Addr(), members[2].Addr()}})
	members[0].Fail("Put", etcdfake.Forever, tooManyOnTheWire)
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.Get(ctx, "k", clientv3.WithSerializable())
			}
		})
		writers.Go(func() {
			for range 200 {
				_, err := c.Put(t.Context(), "k", "v")
				assert.NoError(t, err)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	assert.NotZero(t, members[0].Calls("Put"), "writes that were refused")
	assert.Equal(t, 8*200, members[1].Applied("Put")+members[2].Applied("Put"))
}

// TestReadRefusedWithTooManyRequestsIsRepeated shows that a read is sent again until the member has
// caught up, and that a write is not sent again if there is no other member.
func TestReadRefusedWithTooManyRequestsIsRepeated(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{BackoffWaitBetween: time.Millisecond})
	s.Fail("Range", 3, tooManyOnTheWire)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, 4, s.Calls("Range"))

	s.Fail("Put", 1, tooManyOnTheWire)
	_, err = c.Put(t.Context(), "k", "v")
	assert.Equal(t, rpctypes.ErrTooManyRequests, err)
	assert.Equal(t, 1, s.Calls("Put"))
}
