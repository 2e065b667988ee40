package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// soon is how long these tests wait for a condition before they fail.
const soon = time.Minute

// grant grants a lease.
func grant(t *testing.T, l clientv3.Lease, ttl int64) clientv3.LeaseID {
	t.Helper()
	resp, err := l.Grant(t.Context(), ttl)
	require.NoError(t, err)
	return resp.ID
}

// waitClosed reads ch until it is closed.
func waitClosed(t *testing.T, ch <-chan *clientv3.LeaseKeepAliveResponse) {
	t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-timeout:
			require.FailNow(t, "the channel stays open")
		}
	}
}

// next returns the next answer, and fails the test if there is none.
func next(
	t *testing.T, ch <-chan *clientv3.LeaseKeepAliveResponse,
) *clientv3.LeaseKeepAliveResponse {
	t.Helper()
	select {
	case resp, ok := <-ch:
		require.True(t, ok, "the channel is closed")
		return resp
	case <-time.After(soon):
		require.FailNow(t, "no answer")
		return nil
	}
}

// isOpen reads all buffered answers from ch, and then reports whether ch is open.
func isOpen(ch <-chan *clientv3.LeaseKeepAliveResponse) bool {
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return false
			}
		default:
			return true
		}
	}
}

// TestLeaseMethods calls each method of Lease that makes one request, and checks its answer and the
// errors that its documentation names.
func TestLeaseMethods(t *testing.T) {
	client, ctx := testclient.Open(t, etcdtest.Start(t)), t.Context()

	granted, err := client.Grant(ctx, 100)
	require.NoError(t, err)
	assert.NotZero(t, granted.Revision)
	assert.NotEqual(t, clientv3.NoLease, granted.ID)
	assert.EqualValues(t, 100, granted.TTL)
	_, err = client.Grant(ctx, clientv3.MaxLeaseTTL+1)
	assert.Equal(t, rpctypes.ErrLeaseTTLTooLarge, err)
	longest, err := client.Grant(ctx, clientv3.MaxLeaseTTL)
	require.NoError(t, err)
	shortest, err := client.Grant(ctx, 1)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, shortest.TTL, int64(1))

	_, err = client.Put(ctx, "attached", "v", clientv3.WithLease(granted.ID))
	require.NoError(t, err)
	left, err := client.TimeToLive(ctx, granted.ID)
	require.NoError(t, err)
	assert.Equal(t, granted.ID, left.ID)
	assert.InDelta(t, 95, left.TTL, 5)
	assert.EqualValues(t, 100, left.GrantedTTL)
	assert.NotZero(t, left.Revision)
	assert.Empty(t, left.Keys)
	left, err = client.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	require.NoError(t, err)
	assert.Equal(t, [][]byte{[]byte("attached")}, left.Keys)

	all, err := client.Leases(ctx)
	require.NoError(t, err)
	assert.NotZero(t, all.Revision)
	require.Equal(t, clientv3.LeaseStatus{ID: longest.ID}, all.Leases[len(all.Leases)-1])
	assert.Contains(t, all.Leases, clientv3.LeaseStatus{ID: granted.ID})

	revoked, err := client.Revoke(ctx, granted.ID)
	require.NoError(t, err)
	assert.NotNil(t, revoked.Header)
	got, err := client.Get(ctx, "attached")
	require.NoError(t, err)
	assert.Empty(t, got.Kvs)
	_, err = client.Revoke(ctx, granted.ID)
	assert.Equal(t, rpctypes.ErrLeaseNotFound, err)
	_, err = client.KeepAliveOnce(ctx, granted.ID)
	assert.Equal(t, rpctypes.ErrLeaseNotFound, err)
}

func TestTimeToLiveOfAMissingLease(t *testing.T) {
	resp, err := testclient.Open(t, etcdtest.Start(t)).TimeToLive(t.Context(), 42)
	require.NoError(t, err)
	assert.EqualValues(t, -1, resp.TTL)
	assert.EqualValues(t, 42, resp.ID)
}

// TestGrantWhoseAnswerIsLost: a grant whose answer is lost makes one lease and returns it.
func TestGrantWhoseAnswerIsLost(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	for n := range 20 {
		fake.FailAfterApply("LeaseGrant", 1, status.Error(codes.Unavailable,
			"lost on the way back"))
		resp, err := client.Grant(t.Context(), 60)
		require.NoError(t, err)
		assert.EqualValues(t, 60, resp.TTL)
		assert.NotZero(t, resp.Revision)
		require.Len(t, fake.Leases(), n+1)
		assert.Contains(t, testclient.LeaseIDs(fake.Leases()), resp.ID)
	}
}

// TestGrantOfALeaseThatHasExpiredMeanwhile: a lease may expire before the client finds out that it
// was granted. The client grants it again.
func TestGrantOfALeaseThatHasExpiredMeanwhile(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	fake.FailAfterApply("LeaseGrant", 1, status.Error(codes.Unavailable, "lost on the way back"))
	fake.Unary("LeaseTimeToLive", func(ctx context.Context, req proto.Message) (proto.Message,
		error) {
		_, err := fake.Apply(ctx, "LeaseRevoke",
			&pb.LeaseRevokeRequest{ID: req.(*pb.LeaseTimeToLiveRequest).ID})
		return &pb.LeaseTimeToLiveResponse{TTL: -1}, err
	})
	resp, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	assert.Equal(t, []clientv3.LeaseID{resp.ID}, testclient.LeaseIDs(fake.Leases()))
}

// TestGrantChoosesAnotherIDWhereItsFirstIsTaken: the server refuses Grant's first request, because
// a lease with the id that Grant chose exists. Grant tries another id.
func TestGrantChoosesAnotherIDWhereItsFirstIsTaken(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	fake.Fail("LeaseGrant", 1, rpctypes.ErrGRPCLeaseExist)
	resp, err := client.Grant(t.Context(), 60)
	require.NoError(t, err)
	assert.Equal(t, []clientv3.LeaseID{resp.ID}, testclient.LeaseIDs(fake.Leases()))
	asked := map[int64]bool{}
	for _, r := range fake.Requests("LeaseGrant") {
		asked[r.Msg.(*pb.LeaseGrantRequest).ID] = true
	}
	assert.Len(t, asked, 2)
	assert.Zero(t, fake.Calls("LeaseTimeToLive"))
	fake.Fail("LeaseGrant", etcdfake.Forever, rpctypes.ErrGRPCLeaseExist)
	_, err = client.Grant(t.Context(), 60)
	assert.Equal(t, rpctypes.ErrLeaseExist, err)
}

// TestGrantWithACallersIDIsSentOnce: in a request that a program makes with RetryLeaseClient, the
// program chooses the lease's id. Another program may have a lease with that id, so the client does
// not repeat the request.
func TestGrantWithACallersIDIsSentOnce(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	for n, id := range []int64{0, 77} {
		fake.FailAfterApply("LeaseGrant", 1, status.Error(codes.Unavailable,
			"lost on the way back"))
		_, err := clientv3.RetryLeaseClient(client).LeaseGrant(t.Context(),
			&pb.LeaseGrantRequest{ID: id, TTL: 60})
		assert.Equal(t, codes.Unavailable, status.Code(err))
		assert.Equal(t, n+1, fake.Calls("LeaseGrant"))
	}
}

func TestGrantIsNotRepeatedAfterOtherFailures(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	for _, code := range []codes.Code{codes.Unknown, codes.Internal, codes.DeadlineExceeded,
		codes.Canceled} {
		before := fake.Calls("LeaseGrant")
		fake.FailAfterApply("LeaseGrant", 1, status.Error(code, "lost on the way back"))
		_, err := client.Grant(t.Context(), 60)
		assert.Equal(t, code, status.Code(err), "%v", err)
		assert.Equal(t, before+1, fake.Calls("LeaseGrant"))
	}
	assert.Len(t, fake.Leases(), 4, "one lease for each call")
}

func TestLeaseCallsEndWithTheirContext(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Grant":         func() error { _, err := client.Grant(ctx, 5); return err },
		"Revoke":        func() error { _, err := client.Revoke(ctx, 5); return err },
		"TimeToLive":    func() error { _, err := client.TimeToLive(ctx, 5); return err },
		"Leases":        func() error { _, err := client.Leases(ctx); return err },
		"KeepAliveOnce": func() error { _, err := client.KeepAliveOnce(ctx, 5); return err },
	} {
		assert.Equal(t, context.Canceled, call(), name)
	}
	assert.Zero(t, fake.Calls("LeaseGrant")+fake.Calls("LeaseKeepAlive"))
}

func TestLeasesWithNothingInThem(t *testing.T) {
	fake := etcdfake.Start(t)
	client := testclient.OpenFake(t, fake)
	empty := map[string]proto.Message{
		"LeaseGrant": &pb.LeaseGrantResponse{}, "LeaseRevoke": &pb.LeaseRevokeResponse{},
		"LeaseTimeToLive": &pb.LeaseTimeToLiveResponse{},
		"LeaseLeases":     &pb.LeaseLeasesResponse{Leases: []*pb.LeaseStatus{{}}},
	}
	for method, resp := range empty {
		fake.Unary(method, func(context.Context, proto.Message) (proto.Message, error) {
			return resp, nil
		})
	}
	granted, err := client.Grant(t.Context(), 5)
	require.NoError(t, err)
	assert.Nil(t, granted.ResponseHeader)
	_, err = client.Revoke(t.Context(), 5)
	require.NoError(t, err)
	_, err = client.TimeToLive(t.Context(), 5)
	require.NoError(t, err)
	_, err = client.Leases(t.Context())
	require.NoError(t, err)
}
