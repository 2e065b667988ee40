package etcdfake

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestObservesRequests(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	ctx := metadata.AppendToOutgoingContext(testContext(t), "who", "me")
	before := time.Now()
	_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("a"), Value: []byte("1")})
	require.NoError(t, err)
	_, err = kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)

	assert.Equal(t, 1, s.Calls("Put"))
	assert.Equal(t, 1, s.Calls("/etcdserverpb.KV/Range"))
	assert.Equal(t, []string{"me"}, s.LastMetadata("Put").Get("who"))
	assert.Empty(t, s.LastMetadata("Range").Get("who"))
	reqs := s.Requests()
	require.Len(t, reqs, 2)
	assert.Equal(t, pb.KV_Put_FullMethodName, reqs[0].Method)
	assert.Equal(t, []byte("a"), reqs[0].Msg.(*pb.PutRequest).Key)
	assert.False(t, reqs[0].Time.Before(before))
	assert.False(t, reqs[1].Time.Before(reqs[0].Time))
	assert.Len(t, RequestsOf[*pb.RangeRequest](s), 1)
	s.ForgetRequests()
	assert.Empty(t, s.Requests("Put"))
}

func TestFailBeforeAndAfterApply(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	req := &pb.PutRequest{Key: []byte("a"), Value: []byte("1")}

	s.Fail("Put", 2, rpctypes.ErrGRPCNoLeader)
	s.Fail("Put", 1, rpctypes.ErrGRPCStopped)
	for _, want := range []error{rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCNoLeader,
		rpctypes.ErrGRPCStopped} {
		_, err := kv.Put(testContext(t), req)
		assert.Equal(t, status.Convert(want).Message(), status.Convert(err).Message())
	}
	assert.Equal(t, int64(1), s.Revision(), "a failure before applying has no effect")
	assert.Zero(t, s.Applied("Put"))

	s.FailAfterApply("Put", 1, status.Error(codes.Unavailable, "lost"))
	_, err := kv.Put(testContext(t), req)
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.Equal(t, int64(2), s.Revision(), "a failure after applying has its effect")
	assert.Equal(t, int64(3), put(t, kv, "2"))
	assert.Equal(t, 5, s.Calls("Put"))
	assert.Equal(t, 2, s.Applied("Put"))

	s.Fail("Put", Forever, rpctypes.ErrGRPCNoSpace)
	for range 3 {
		_, err := kv.Put(testContext(t), req)
		assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	}
	s.Fail("Put", 0, nil)
	assert.Equal(t, int64(4), put(t, kv, "3"))
}

func TestDelayHoldsRequestsBack(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	s.Delay("Put", 50*time.Millisecond)
	start := time.Now()
	put(t, kv, "1")
	assert.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)

	s.Delay("Put", time.Hour)
	ctx, cancel := context.WithCancel(testContext(t))
	result := make(chan error, 1)
	go func() {
		_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("a")})
		result <- err
	}()
	require.Eventually(t, func() bool { return s.Calls("Put") == 2 }, waitFor, tick)
	cancel()
	assert.Equal(t, codes.Canceled, status.Code(<-result))
	assert.Equal(t, int64(2), s.Revision(), "a request cancelled while delayed has no effect")
}

func TestUnaryScript(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	s.Unary("Range", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		resp, err := s.Apply(ctx, "Range", req)
		if err == nil {
			resp.(*pb.RangeResponse).Count = 77
		}
		return resp, err
	})
	resp, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	assert.Equal(t, int64(77), resp.Count)
	s.Unary("Range", nil)
	resp, err = kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	assert.Zero(t, resp.Count)
}

func TestStopAndRestart(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	put(t, kv, "1")
	assert.Equal(t, 1, s.Conns())
	addr := s.Addr()

	s.Stop()
	assert.Zero(t, s.Conns())
	_, err := net.DialTimeout("tcp", addr, time.Second)
	require.Error(t, err)

	s.Start()
	assert.Equal(t, addr, s.Addr())
	require.Eventually(t, func() bool {
		resp, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")},
			grpc.WaitForReady(true))
		return err == nil && len(resp.Kvs) == 1
	}, waitFor, tick)
}

func TestStopEndsStreamsAndDelayedRequests(t *testing.T) {
	s := Start(t)
	conn := dial(t, s)
	w := openWatch(t, conn)
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a")})
	s.Delay("Put", time.Hour)
	result := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(conn).Put(testContext(t), &pb.PutRequest{Key: []byte("a")})
		result <- err
	}()
	require.Eventually(t, func() bool { return s.Calls("Put") == 1 }, waitFor, tick)
	s.Stop()
	_, err := w.Recv()
	assert.Equal(t, codes.Unavailable, status.Code(err))
	require.Error(t, <-result)
	open, total := s.Streams("Watch")
	assert.Zero(t, open)
	assert.Equal(t, 1, total)
}

func TestCloseConns(t *testing.T) {
	s := Start(t)
	kv := pb.NewKVClient(dial(t, s))
	put(t, kv, "1")
	assert.Equal(t, 1, s.Conns())
	assert.Equal(t, 1, s.Cut())
	require.Eventually(t, func() bool {
		_, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
		return err == nil
	}, waitFor, tick)
}

func TestHealth(t *testing.T) {
	s := Start(t)
	w, err := healthpb.NewHealthClient(dial(t, s)).Watch(testContext(t),
		&healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	for _, serving := range []bool{true, false, true} {
		s.SetServing(serving)
		resp, err := w.Recv()
		require.NoError(t, err)
		assert.Equal(t, serving, resp.Status == healthpb.HealthCheckResponse_SERVING)
	}
	open, _ := s.Streams(healthpb.Health_Watch_FullMethodName)
	assert.Equal(t, 1, open)
}

func TestOldServerLacksMethods(t *testing.T) {
	s := Start(t, WithEtcd35())
	conn := dial(t, s)
	_, err := healthpb.NewHealthClient(conn).Check(testContext(t), &healthpb.HealthCheckRequest{})
	assert.Equal(t, codes.Unimplemented, status.Code(err))
	rs, err := pb.NewKVClient(conn).RangeStream(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	_, err = rs.Recv()
	assert.Equal(t, codes.Unimplemented, status.Code(err))
	st, err := pb.NewMaintenanceClient(conn).Status(testContext(t), &pb.StatusRequest{})
	require.NoError(t, err)
	assert.Regexp(t, `^3\.5\.`, st.Version)
}

func TestCannedAnswers(t *testing.T) {
	s := Start(t, WithCanned())
	kv := pb.NewKVClient(dial(t, s))
	for range 2 {
		assert.Equal(t, int64(2), put(t, kv, "1"))
	}
	resp, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("a")})
	require.NoError(t, err)
	assert.Equal(t, int64(1), resp.Count)
	txn, err := kv.Txn(testContext(t), &pb.TxnRequest{})
	require.NoError(t, err)
	assert.Len(t, txn.Responses, 1)
	assert.Equal(t, 2, s.Calls("Put"))
	assert.Equal(t, int64(1), s.Revision())
	assert.Empty(t, s.Requests())
	s.Fail("Put", 1, rpctypes.ErrGRPCNoLeader)
	_, err = kv.Put(testContext(t), &pb.PutRequest{Key: []byte("a")})
	assert.Equal(t, codes.Unavailable, status.Code(err),
		"a failure takes effect in spite of the canned answer")
}

func TestStreamFailsWhenOpenedAndAfterApply(t *testing.T) {
	s := Start(t)
	lc := pb.NewLeaseClient(dial(t, s))
	grant, err := lc.LeaseGrant(testContext(t), &pb.LeaseGrantRequest{TTL: 60})
	require.NoError(t, err)
	open := func() error {
		ka, err := lc.LeaseKeepAlive(testContext(t))
		require.NoError(t, err)
		if err := ka.Send(&pb.LeaseKeepAliveRequest{ID: grant.ID}); err != io.EOF {
			require.NoError(t, err)
		}
		_, err = ka.Recv()
		return err
	}
	s.Fail("LeaseKeepAlive", 1, rpctypes.ErrGRPCNoLeader)
	assert.Equal(t, codes.Unavailable, status.Code(open()))
	assert.Zero(t, s.Calls("LeaseKeepAlive"))
	s.FailAfterApply("LeaseKeepAlive", 1, status.Error(codes.Internal, "lost"))
	assert.Equal(t, codes.Internal, status.Code(open()))
	assert.Equal(t, 1, s.Applied("LeaseKeepAlive"))
	require.NoError(t, open())
}

func TestBreakEndsOpenStreams(t *testing.T) {
	s := Start(t)
	w := openWatch(t, dial(t, s))
	create(t, w, &pb.WatchCreateRequest{Key: []byte("a")})
	assert.Equal(t, 1, s.Break("Watch", rpctypes.ErrGRPCNoLeader))
	_, err := w.Recv()
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.Zero(t, s.Break("Watch", nil))
}

// TestWatchScript: a watch script of one fake member can change the responses of that member. The
// other members of the fake cluster serve watches without changes.
func TestWatchScript(t *testing.T) {
	members := StartCluster(t, 2, WithOwnWatchIDs())
	s := members[0]
	s.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		return s.ServeWatch(ctx, recv, func(resp *pb.WatchResponse) error {
			resp.CancelReason = "scripted"
			return send(resp)
		})
	})
	for i, want := range []string{"scripted", ""} {
		w := openWatch(t, dial(t, members[i]))
		resp := create(t, w, &pb.WatchCreateRequest{Key: []byte("a"), WatchId: 77})
		assert.Equal(t, want, resp.CancelReason)
		assert.Zero(t, resp.WatchId)
		put(t, pb.NewKVClient(dial(t, members[1])), "1")
		assert.Len(t, recvWatch(t, w).Events, 1)
	}
}
