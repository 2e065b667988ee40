package client_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

var errAlways = status.Error(codes.Internal, "always")

// echoKV is a KV service that answers puts.
type echoKV struct{ pb.UnimplementedKVServer }

func (echoKV) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: &pb.ResponseHeader{}}, nil
}

// TestNotServingMembersAreSpared: a member whose health check says NOT_SERVING gets no requests
// until it says SERVING.
func TestNotServingMembersAreSpared(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{members[0].Addr(), members[1].Addr(),
		members[2].Addr()}})
	sick := members[1]
	askUntil := func(enough func() bool) {
		testclient.Eventually(t, func() bool {
			_, err := c.Get(t.Context(), "k")
			require.NoError(t, err)
			return enough()
		}, "requests reach those that serve")
	}
	askUntil(func() bool { return sick.Calls("Range") > 0 })

	sick.SetServing(false)
	spared := func() bool {
		before := sick.Calls("Range")
		for range 9 {
			_, err := c.Get(t.Context(), "k")
			require.NoError(t, err)
		}
		return sick.Calls("Range") == before
	}
	testclient.Eventually(t, spared, "the member gets no more requests")
	assert.True(t, spared(), "and none later")

	sick.SetServing(true)
	before := sick.Calls("Range")
	askUntil(func() bool { return sick.Calls("Range") > before })
}

// TestUnhealthyMemberIsAskedWhenThereIsNoOther: members that refuse the health check, as learners
// do, get requests only while no other member serves.
func TestUnhealthyMemberIsAskedWhenThereIsNoOther(t *testing.T) {
	for name, even := range map[string]bool{"with health": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, 3)
			for _, learner := range members[:2] {
				learner.Stream(healthpb.Health_Watch_FullMethodName, func(grpc.ServerStream) error {
					return rpctypes.ErrGRPCNotSupportedForLearner
				})
			}
			c := testclient.New(t, clientv3.Config{SpreadEvenly: even,
				Endpoints: []string{members[0].Addr(), members[1].Addr(), members[2].Addr()}})
			for range 12 {
				_, err := c.Get(t.Context(), "k")
				require.NoError(t, err)
			}
			assert.Equal(t, []int{0, 0, 12}, []int{members[0].Calls("Range"),
				members[1].Calls("Range"), members[2].Calls("Range")})

			members[2].Stop()
			testclient.Eventually(t, func() bool {
				_, err := c.Get(t.Context(), "k")
				require.NoError(t, err)
				return members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0
			}, "both are asked")

			members[2].Start()
			testclient.Eventually(t, func() bool {
				before := members[2].Calls("Range")
				for range 12 {
					_, err := c.Get(t.Context(), "k")
					require.NoError(t, err)
				}
				return members[2].Calls("Range") == before+12
			}, "it gets all requests again")
		})
	}
}

// TestLearnerIsAskedWhenThereIsNoOther: a client that knows only a learner sends requests to it. A
// learner refuses the stream of the health check. gRPC treats such a server as not serving, but the
// client uses it anyway.
func TestLearnerIsAskedWhenThereIsNoOther(t *testing.T) {
	cluster := etcdtest.Start(t)
	learner, err := cluster.AddMember(true)
	require.NoError(t, err)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{learner.Endpoint()}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = c.Get(ctx, "k", clientv3.WithSerializable())
	require.NoError(t, err)
	_, err = c.Put(ctx, "k", "v")
	require.ErrorIs(t, err, rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner))
}

func TestServersWithoutHealthService(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{}, etcdfake.WithoutHealth())
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.Equal(t, 1, s.Calls("Put"))
}

func TestDialReachesAMemberThatDoesNotServe(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	s.SetServing(false)
	conn, err := c.Dial(s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = clientv3.RetryMaintenanceClient(c, conn).Status(ctx, &pb.StatusRequest{})
	require.NoError(t, err)
}

// TestDeadConnectionOfTheOnlyMember: without another member to compare with, the client closes a
// connection that is silent while answers are pending.
func TestDeadConnectionOfTheOnlyMember(t *testing.T) {
	t.Parallel()
	s := etcdfake.Start(t)
	dying := faultnet.New(t, s.Addr())
	var dials atomic.Int64
	c := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()},
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				if dials.Add(1) == 1 {
					address = dying.Addr()
				}
				return (&net.Dialer{}).DialContext(ctx, "tcp", address)
			}),
		}})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	dying.Blackhole(faultnet.Both)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = c.Get(ctx, "k")
	require.NoError(t, err)
}

// TestInterceptorsOfTheUserAndTheClientRun: a read that fails once is retried if the program has
// interceptors, and they see both attempts.
func TestInterceptorsOfTheUserAndTheClientRun(t *testing.T) {
	var unary, chained, streams atomic.Int64
	s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
		grpc.WithUnaryInterceptor(func(ctx context.Context, m string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			unary.Add(1)
			return next(ctx, m, req, reply, cc, opts...)
		}),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, m string, req, reply any,
			cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			chained.Add(1)
			return next(ctx, m, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc,
			cc *grpc.ClientConn, m string, next grpc.Streamer,
			opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if strings.HasSuffix(m, "RangeStream") {
				streams.Add(1)
			}
			return next(ctx, d, cc, m, opts...)
		}),
	}})
	s.Fail("Range", 1, rpctypes.ErrGRPCNoLeader)
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, int64(2), unary.Load())
	assert.Equal(t, int64(2), chained.Load())

	s.Fail("RangeStream", 1, rpctypes.ErrGRPCNoLeader)
	stream, err := c.GetStream(t.Context(), "k")
	require.NoError(t, err)
	_, err = clientv3.GetStreamToGetResponse(stream)
	require.NoError(t, err)
	assert.Equal(t, int64(2), streams.Load())
}

// TestServersLearnTheAPIVersion: every request carries the API version in the metadata
// client-api-version, and keeps the metadata that the program has set.
func TestServersLearnTheAPIVersion(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	_, err := c.Put(metadata.AppendToOutgoingContext(t.Context(), "custom", "1"), "k", "v")
	require.NoError(t, err)
	assert.Equal(t, []string{version.APIVersion}, s.LastMetadata("Put").Get("client-api-version"))
	assert.Equal(t, []string{"1"}, s.LastMetadata("Put").Get("custom"))
	_, err = c.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, []string{version.APIVersion}, s.LastMetadata("Range").Get("client-api-version"))
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(t.Context()))
	defer cancel()
	c.Watch(ctx, "k")
	assert.Equal(t, []string{version.APIVersion}, s.LastMetadata("Watch").Get("client-api-version"))
	assert.Equal(t, []string{"true"}, s.LastMetadata("Watch").Get("hasleader"))
}

func TestOversizedRequestFailsBeforeItIsSent(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{MaxCallSendMsgSize: 1000})
	_, err := c.Put(t.Context(), "k", strings.Repeat("v", 2000))
	assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	require.ErrorContains(t, err, "1000")
	assert.Zero(t, s.Calls("Put"), "nothing was sent")

	_, err = clientv3.RetryKVClient(c).Put(t.Context(),
		&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 2000)})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	_, err = pb.NewKVClient(c.ActiveConnection()).Put(t.Context(),
		&pb.PutRequest{Key: []byte("k"), Value: make([]byte, 2000)})
	require.NoError(t, err, "the bare connection has gRPC's own limits")
}

func TestLargeResponsesAreAccepted(t *testing.T) {
	const size = 6 << 20 // more than gRPC's own default allows
	s, c := testclient.StartFake(t, clientv3.Config{})
	value := make([]byte, 1<<20)
	for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
		_, err := c.Put(t.Context(), k, string(value))
		require.NoError(t, err)
	}
	resp, err := c.Get(t.Context(), "a", clientv3.WithFromKey())
	require.NoError(t, err)
	assert.Len(t, resp.Kvs, size/len(value))

	small := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()},
		MaxCallSendMsgSize: 1 << 20,
		MaxCallRecvMsgSize: 1 << 20})
	_, err = small.Get(t.Context(), "a", clientv3.WithFromKey())
	assert.Equal(t, codes.ResourceExhausted, status.Code(err))
}

// TestRequestsThatSucceedLogNothing: a call that succeeds at once logs nothing. Retries log a few
// entries, at debug level.
func TestRequestsThatSucceedLogNothing(t *testing.T) {
	lg, logs := testclient.Observed(zapcore.DebugLevel)
	s, c := testclient.StartFake(t, clientv3.Config{Logger: lg})
	const calls = 10_000
	var workers sync.WaitGroup
	for range 20 {
		workers.Go(func() {
			for range calls / 20 {
				_, err := c.Get(t.Context(), "k")
				assert.NoError(t, err)
			}
		})
	}
	workers.Wait()
	require.Equal(t, calls, s.Calls("Range"))
	assert.Zero(t, logs.Len(), "%v", logs.All())

	s.Fail("Range", 200, rpctypes.ErrGRPCNoLeader)
	start := time.Now()
	for range 40 {
		workers.Go(func() {
			_, err := c.Get(t.Context(), "k")
			assert.NoError(t, err)
		})
	}
	workers.Wait()
	assert.NotZero(t, logs.Len())
	assert.LessOrEqual(t, logs.Len(), 2+int(time.Since(start)/time.Second))
	for _, e := range logs.All() {
		assert.Equal(t, zapcore.DebugLevel, e.Level)
	}
}
