package retry

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errClosed = errors.New("closed for the test")

// outcome is what the fake connection does with one attempt.
type outcome struct {
	err  error
	sent bool
}

// fakeConn answers the n-th attempt with the n-th outcome of script, later ones with the last one.
type fakeConn struct {
	grpc.ClientConnInterface
	script []outcome
	calls  int
	times  []time.Time
	hook   func(n int)
}

func (f *fakeConn) next(opts []grpc.CallOption) error {
	o := f.script[min(f.calls, len(f.script)-1)]
	f.calls++
	f.times = append(f.times, time.Now())
	if f.hook != nil {
		f.hook(f.calls)
	}
	for _, opt := range opts {
		if p, ok := opt.(grpc.PeerCallOption); ok && o.sent {
			p.PeerAddr.Addr = &net.TCPAddr{}
		}
	}
	return o.err
}

func (f *fakeConn) Invoke(
	ctx context.Context, method string, req, reply any, opts ...grpc.CallOption,
) error {
	return ObserveSends(ctx, method, req, reply, nil,
		func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn,
			opts ...grpc.CallOption) error {
			return f.next(opts)
		}, opts...)
}

func newConn(
	t *testing.T, endpoints int, script ...outcome,
) (*Conn, *fakeConn, context.CancelFunc) {
	life, closeClient := context.WithCancel(context.Background())
	t.Cleanup(closeClient)
	f := &fakeConn{script: script}
	return New(f, Config{
		MaxAttempts: 6, Endpoints: func() int { return endpoints }, Life: life, Closed: errClosed,
		Backoff: backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second},
	}), f, closeClient
}

var (
	rangeReq = &pb.RangeRequest{}
	putReq   = &pb.PutRequest{}
	readTxn  = &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestRange{}},
		{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{}}},
	}}
	writeTxn = &pb.TxnRequest{Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{
		RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{}}}},
	}}}}
)

var (
	unavailable = status.Error(codes.Unavailable, "gone")
	tooMany     = status.Error(codes.Unknown, "etcdserver: too many requests") // as servers send it
)

// attemptCases say how often a request is sent when every attempt fails with the same error.
var attemptCases = []struct {
	name      string
	method    string
	req       any
	fail      outcome
	endpoints int
	want      int
}{
	{"read, unavailable", pb.KV_Range_FullMethodName, rangeReq, outcome{unavailable, true}, 3,
		6},
	{"read, leader lost", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCLeaderChanged, true}, 3, 6},
	{"read, one endpoint", pb.KV_Range_FullMethodName, rangeReq, outcome{unavailable, true}, 1,
		6},
	{"read, not capable", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCNotCapable, true}, 3, 1},
	{"read, learner", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCNotSupportedForLearner, true}, 2, 6},
	{"read, lone learner", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCNotSupportedForLearner, true}, 1, 1},
	{"read, internal", pb.KV_Range_FullMethodName, rangeReq,
		outcome{status.Error(codes.Internal, "x"), true}, 3, 1},
	{"read, server's deadline", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCDeadlineExceeded, true}, 3, 1},
	{"read, server's cancel", pb.KV_Range_FullMethodName, rangeReq,
		outcome{rpctypes.ErrGRPCCanceled, true}, 3, 1},
	{"write, unavailable", pb.KV_Put_FullMethodName, putReq, outcome{unavailable, true}, 3, 1},
	{"write, not sent", pb.KV_Put_FullMethodName, putReq, outcome{unavailable, false}, 3, 6},
	{"write, server's deadline", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCDeadlineExceeded, true}, 3, 1},
	{"write, learner", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCNotSupportedForLearner, true}, 3, 6},
	{"read, too many requests", pb.KV_Range_FullMethodName, rangeReq, outcome{tooMany, true}, 1,
		6},
	{"write, too many requests", pb.KV_Put_FullMethodName, putReq, outcome{tooMany, true}, 3,
		3},
	{"write, too many requests, lone member", pb.KV_Put_FullMethodName, putReq,
		outcome{tooMany, true}, 1, 1},
	{"write, no space", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCNoSpace, true}, 3, 1},
	{"write, too large an answer", pb.KV_Put_FullMethodName, putReq,
		outcome{status.Error(codes.ResourceExhausted, "grpc: too large"), true}, 3, 1},
	{"stream, too many requests", pb.Watch_Watch_FullMethodName, nil, outcome{tooMany, true}, 3,
		1},
	{"write, no leader", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCNoLeader, true}, 3, 1},
	{"txn that writes", pb.KV_Txn_FullMethodName, writeTxn, outcome{unavailable, true}, 3, 1},
	{"txn that reads", pb.KV_Txn_FullMethodName, readTxn, outcome{unavailable, true}, 3, 6},
	{"alarm list", pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{},
		outcome{unavailable, true}, 3, 6},
	{"alarm off", pb.Maintenance_Alarm_FullMethodName,
		&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE}, outcome{unavailable, true}, 3, 1},
	{"unknown method", "/x.Y/Z", putReq, outcome{unavailable, false}, 3, 1},
	{"login", pb.Auth_Authenticate_FullMethodName, &pb.AuthenticateRequest{},
		outcome{unavailable, true}, 3, 6},
	{"login, bad token", pb.Auth_Authenticate_FullMethodName, &pb.AuthenticateRequest{},
		outcome{rpctypes.ErrGRPCInvalidAuthToken, true}, 3, 1},
	{"certificate user, old revision", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCAuthOldRevision, true}, 3, maxTokenTries},
	{"no token to renew", pb.KV_Put_FullMethodName, putReq,
		outcome{rpctypes.ErrGRPCInvalidAuthToken, true}, 3, 1},
}

// TestAttemptsPerCode counts how often a request is sent if every attempt fails with the same
// error: at most six times, because newConn sets MaxAttempts to six.
func TestAttemptsPerCode(t *testing.T) {
	for _, tc := range attemptCases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, f, _ := newConn(t, tc.endpoints, tc.fail)
				err := c.Invoke(t.Context(), tc.method, tc.req, nil)
				assert.Equal(t, tc.fail.err, err)
				assert.Equal(t, tc.want, f.calls)
			})
		})
	}
}

// mangledConn has no connection: every call fails. It behaves like a user's interceptor that calls
// gRPC once for each entry of passes. If the entry is false, it drops the call options.
type mangledConn struct {
	grpc.ClientConnInterface
	passes []bool
	calls  int
}

func (m *mangledConn) Invoke(
	ctx context.Context, method string, req, reply any, opts ...grpc.CallOption,
) error {
	m.calls++
	for _, whole := range m.passes {
		_ = ObserveSends(ctx, method, req, reply, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				return nil
			}, opts[:map[bool]int{true: len(opts)}[whole]]...)
	}
	return status.Error(codes.Unavailable, "no connection")
}

// TestNothingIsProvedByWhatIsKeptBack: an interceptor that drops the call options, or that never
// calls gRPC, hides whether a write was sent. The write is not tried again.
func TestNothingIsProvedByWhatIsKeptBack(t *testing.T) {
	for _, tc := range []struct {
		passes []bool
		want   int
	}{
		{[]bool{true}, 3},
		{[]bool{true, true}, 3},
		{nil, 1},
		{[]bool{false}, 1},
		{[]bool{false, true}, 1},
		{[]bool{true, false}, 1},
	} {
		m := &mangledConn{passes: tc.passes}
		c := New(m, Config{MaxAttempts: 3, Endpoints: func() int { return 2 }, Life: t.Context()})
		assert.Error(t, c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
		assert.Equal(t, tc.want, m.calls, "%v", tc.passes)
	}
}

func TestEveryMethodHasAPolicy(t *testing.T) {
	for _, svc := range []grpc.ServiceDesc{
		pb.KV_ServiceDesc, pb.Watch_ServiceDesc, pb.Lease_ServiceDesc,
		pb.Cluster_ServiceDesc, pb.Maintenance_ServiceDesc, pb.Auth_ServiceDesc,
	} {
		for _, m := range svc.Methods {
			p, ok := policies["/"+svc.ServiceName+"/"+m.MethodName]
			assert.True(t, ok && p != once, "%s/%s", svc.ServiceName, m.MethodName)
		}
		for _, s := range svc.Streams {
			p, ok := policies["/"+svc.ServiceName+"/"+s.StreamName]
			assert.True(t, ok && (p == once) == s.ClientStreams, "%s/%s", svc.ServiceName,
				s.StreamName)
		}
	}
}

// TestWaitsBetweenAttemptsGrow shows when the attempts of one request are made: at once as long as
// there are endpoints left to ask, then further and further apart.
func TestWaitsBetweenAttemptsGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f, _ := newConn(t, 3, outcome{status.Error(codes.Unavailable, "x"), true})
		start := time.Now()
		require.Error(t, c.Invoke(t.Context(), pb.KV_Range_FullMethodName, rangeReq, nil))
		var at []time.Duration
		for _, tm := range f.times {
			at = append(at, tm.Sub(start)/time.Millisecond)
		}
		assert.Equal(t, []time.Duration{0, 0, 0, 100, 300, 700}, at)
	})
}

// TestWaitsForAMemberThatHasTooManyRequests: after the refusal "too many requests", the next
// attempt waits, even if there are endpoints that were not tried yet.
func TestWaitsForAMemberThatHasTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f, _ := newConn(t, 3, outcome{rpctypes.ErrGRPCRequestTooManyRequests, true})
		start := time.Now()
		require.Error(t, c.Invoke(t.Context(), pb.KV_Put_FullMethodName, putReq, nil))
		var at []time.Duration
		for _, tm := range f.times {
			at = append(at, tm.Sub(start)/time.Millisecond)
		}
		assert.Equal(t, []time.Duration{0, 100, 300}, at)
	})
}

func TestFirstSuccessEndsTheSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []uint
		c, f, _ := newConn(t, 1, outcome{rpctypes.ErrGRPCNoLeader, true},
			outcome{rpctypes.ErrGRPCTimeout, true}, outcome{})
		c.cfg.Retrying = func(_ string, attempt uint, _ error) { told = append(told, attempt) }
		require.NoError(t, c.Invoke(t.Context(), pb.KV_Range_FullMethodName, rangeReq, nil))
		assert.Equal(t, 3, f.calls)
		assert.Equal(t, []uint{1, 2}, told)
	})
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := newConn(t, 1, outcome{status.Error(codes.Unavailable, "x"), true})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		assert.Equal(t, context.DeadlineExceeded,
			c.Invoke(ctx, pb.KV_Range_FullMethodName, rangeReq, nil))
		assert.Equal(t, context.DeadlineExceeded,
			c.Invoke(ctx, pb.KV_Range_FullMethodName, rangeReq, nil), "a call on a dead context")
	})
}

func TestClosingEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f, closeClient := newConn(t, 1, outcome{status.Error(codes.Unavailable, "x"), true})
		time.AfterFunc(50*time.Millisecond, closeClient)
		start := time.Now()
		assert.Equal(t, errClosed, c.Invoke(t.Context(), pb.KV_Range_FullMethodName, rangeReq, nil))
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
		assert.Equal(t, errClosed, c.Invoke(t.Context(), pb.KV_Range_FullMethodName, rangeReq, nil))
		_, err := c.NewStream(t.Context(), &grpc.StreamDesc{}, pb.Watch_Watch_FullMethodName)
		assert.Equal(t, errClosed, err)
		assert.Equal(t, 1, f.calls)
	})
}

// TestContextErrorIsReturnedItself shows that a request whose deadline has passed returns
// context.DeadlineExceeded, whatever gRPC says of that.
func TestContextErrorIsReturnedItself(t *testing.T) {
	const text = "latest balancer error: connection refused"
	for _, last := range []outcome{
		{status.Error(codes.DeadlineExceeded, text), false},
		{status.Error(codes.DeadlineExceeded, text), true},
		{status.Error(codes.DeadlineExceeded, context.DeadlineExceeded.Error()), false},
		{status.Error(codes.Unavailable, text), true},
	} {
		c, f, _ := newConn(t, 1, last)
		dead, end := context.WithDeadline(t.Context(), time.Now())
		defer end()
		live := &switchingContext{Context: t.Context(), after: dead}
		f.hook = func(int) { live.over = true }
		err := c.Invoke(live, pb.KV_Put_FullMethodName, putReq, nil)
		assert.True(t, err == context.DeadlineExceeded, "%v", err)
	}
}

// switchingContext has no error until over is set. Then it has the error in the field after.
type switchingContext struct {
	context.Context
	after context.Context
	over  bool
}

func (c *switchingContext) Err() error {
	if c.over {
		return c.after.Err()
	}
	return c.Context.Err()
}

func TestMetadataGoesBesideTheCallers(t *testing.T) {
	c := New(nil, Config{Metadata: [2]string{"ours", "1"}})
	md, ok := metadata.FromOutgoingContext(c.newAttempt(t.Context(), "", once, nil))
	assert.True(t, ok)
	assert.Equal(t, metadata.Pairs("ours", "1"), md)

	callers := metadata.AppendToOutgoingContext(t.Context(), "theirs", "2")
	md, _ = metadata.FromOutgoingContext(c.newAttempt(callers, "", once, nil))
	assert.Equal(t, metadata.Pairs("ours", "1", "theirs", "2"), md)

	type key struct{}
	assert.Equal(t, 7, c.newAttempt(context.WithValue(t.Context(), key{}, 7), "", once,
		nil).Value(key{}))
	ctx, cancel := context.WithCancel(c.newAttempt(t.Context(), "", once, nil))
	cancel()
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}

// TestAttemptsTellWhetherTheirRequestIsRepeated: the attempt in a request's context knows it.
func TestAttemptsTellWhetherTheirRequestIsRepeated(t *testing.T) {
	type key struct{}
	c := New(nil, Config{AttemptKey: key{}})
	change := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{}}}
	look := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{}}}
	for _, tc := range []struct {
		method string
		req    any
		want   bool
	}{
		{pb.KV_Range_FullMethodName, &pb.RangeRequest{}, true},
		{pb.KV_Put_FullMethodName, &pb.PutRequest{}, false},
		{pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{look}}, true},
		{pb.KV_Txn_FullMethodName, &pb.TxnRequest{Failure: []*pb.RequestOp{look, change}}, false},
		{pb.Auth_Authenticate_FullMethodName, &pb.AuthenticateRequest{}, true},
		{"/of.Another/Service", nil, false},
	} {
		a := c.newAttempt(t.Context(), tc.method, policyOf(t.Context(), tc.method, tc.req), nil)
		assert.Equal(t, tc.want, a.Value(key{}).(*attempt).Idempotent(), "%s %v", tc.method, tc.req)
	}
	assert.Nil(t, New(nil, Config{}).newAttempt(t.Context(), "", read, nil).Value(key{}))
}

// TestAttemptsAvoidThePreviousMember: Avoid returns the member of the previous attempt.
func TestAttemptsAvoidThePreviousMember(t *testing.T) {
	c := New(nil, Config{})
	a := c.newAttempt(t.Context(), "", read, nil)
	assert.Nil(t, a.Avoid())
	a.SetMember("m0")
	a = a.again(t.Context(), nil)
	assert.Equal(t, "m0", a.Avoid())
	a.SetMember("m1")
	assert.Equal(t, "m1", a.again(t.Context(), nil).Avoid())
}

func TestCallersOptionsComeLast(t *testing.T) {
	c, _, _ := newConn(t, 1)
	a := c.newAttempt(t.Context(), "", once, []grpc.CallOption{grpc.WaitForReady(false),
		grpc.StaticMethod(), grpc.UseCompressor("x")})
	require.Len(t, a.opts, 5)
	assert.Equal(t, grpc.FailFastCallOption{FailFast: false}, a.opts[0])
	assert.Equal(t, grpc.FailFastCallOption{FailFast: true}, a.opts[2])
	assert.NotEqual(t, io.EOF, a.opts[4])
}
