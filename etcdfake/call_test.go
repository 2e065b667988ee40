package etcdfake_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func TestActionsOnAPut(t *testing.T) {
	for name, tc := range map[string]struct {
		act     etcdfake.Action
		err     error
		applied bool
		after   time.Duration
		rev     int64 // the revision in the answer; 0: not checked
	}{
		"pass":   {act: etcdfake.Pass(), applied: true},
		"zero":   {applied: true},
		"delay":  {act: etcdfake.Delay(time.Hour), applied: true, after: time.Hour},
		"refuse": {act: etcdfake.Refuse(rpctypes.ErrGRPCNoSpace), err: rpctypes.ErrNoSpace},
		"lose the answer": {act: etcdfake.LoseAnswer(rpctypes.ErrGRPCTimeout),
			err: rpctypes.ErrTimeout, applied: true},
		"answer": {act: etcdfake.Answer(&pb.PutResponse{Header: &pb.ResponseHeader{Revision: 7}})},
		"edit": {act: etcdfake.Edit(func(r *pb.PutResponse) { r.Header.Revision = 7 }),
			applied: true, rev: 7},
		"refuse late": {act: etcdfake.Refuse(rpctypes.ErrGRPCNoSpace).After(time.Minute),
			err: rpctypes.ErrNoSpace, after: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
				c.On("Put", func(*etcdfake.Call) etcdfake.Action { return tc.act })
				start := time.Now()
				resp, err := client.Put(t.Context(), "k", "v")
				assert.Equal(t, tc.err, err)
				if tc.rev != 0 {
					assert.Equal(t, tc.rev, resp.Header.Revision)
				}
				assert.Equal(t, tc.after, time.Since(start))
				assert.Equal(t, tc.applied, c.Dump("")["k"] == "v")
				assert.Equal(t, 1, c.Calls(pb.KV_Put_FullMethodName))
			})
		})
	}
}

// The function set by On gets each call with its method, number and request. On with a nil function
// removes it.
func TestOnSeesCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		var calls []*etcdfake.Call
		c.On("Put", func(call *etcdfake.Call) etcdfake.Action {
			calls = append(calls, call)
			return etcdfake.Pass()
		})
		mustPut(t, client, "a", "1")
		mustPut(t, client, "b", "2")
		c.On("Put", nil)
		mustPut(t, client, "c", "3")
		require.Len(t, calls, 2)
		assert.Equal(t, etcdfake.Method(pb.KV_Put_FullMethodName), calls[1].Method)
		assert.Equal(t, 2, calls[1].Number)
		assert.Equal(t, "b", string(calls[1].Request.(*pb.PutRequest).Key))
		assert.Equal(t, 3, c.Calls("Put"))
		assert.Equal(t, map[string]string{"a": "1", "b": "2", "c": "3"}, c.Dump(""))
	})
}

// A call whose context ends while On holds it back has no effect.
func TestFrozenCallHasNoEffect(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		c.On("Put", func(call *etcdfake.Call) etcdfake.Action {
			<-call.Context().Done()
			return etcdfake.Pass()
		})
		_, err := client.Put(within(t, time.Second), "k", "v")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		assert.Empty(t, c.Dump(""))
	})
}

// Times(2, …) applies its action to the first two calls only. Later calls pass.
func TestTimes(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		c.On("Put", etcdfake.Times(2, etcdfake.Refuse(rpctypes.ErrGRPCNoSpace)))
		for _, want := range []error{rpctypes.ErrNoSpace, rpctypes.ErrNoSpace, nil, nil} {
			_, err := client.Put(t.Context(), "k", "v")
			assert.Equal(t, want, err)
		}
	})
}

// On a watch stream, Edit changes the events that the member sends until the client sends its next
// message. The stored value does not change.
func TestEditOfAWatch(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		c.On("Watch", etcdfake.Times(1, etcdfake.Edit(func(r *pb.WatchResponse) {
			for _, ev := range r.Events {
				ev.Kv.Value = []byte("edited")
			}
		})))
		w := openWatch(t, client, "k")
		mustPut(t, client, "k", "v")
		assert.Equal(t, "edited", string(nextEvents(t, w).Events[0].Kv.Value))
		openWatch(t, client, "other")
		mustPut(t, client, "k", "v")
		assert.Equal(t, "v", string(nextEvents(t, w).Events[0].Kv.Value))
		assert.Equal(t, map[string]string{"k": "v"}, c.Dump(""))
	})
}

// EndStreams ends the streams of one method with the given status. Streams of other methods stay
// open.
func TestEndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t)
		conn := dial(t, c)
		for _, ended := range []error{nil, rpctypes.ErrGRPCTimeout} {
			renewals, err := pb.NewLeaseClient(conn).LeaseKeepAlive(t.Context())
			require.NoError(t, err)
			health, err := healthpb.NewHealthClient(conn).Watch(t.Context(),
				&healthpb.HealthCheckRequest{})
			require.NoError(t, err)
			synctest.Wait()
			assert.Equal(t, 1, c.Member(0).Streams("LeaseKeepAlive"))
			assert.Equal(t, 1, c.Member(0).EndStreams("LeaseKeepAlive", ended))
			_, err = renewals.Recv()
			if ended == nil {
				ended = io.EOF
			}
			assert.Equal(t, ended, err)
			_, err = health.Recv()
			require.NoError(t, err)
			assert.Equal(t, 1, c.Member(0).EndStreams(healthpb.Health_Watch_FullMethodName, ended))
			synctest.Wait()
			assert.Zero(t, c.Member(0).Streams("LeaseKeepAlive"))
			_, err = health.Recv()
			assert.Error(t, err)
		}
	})
}

// On a stream, each message of the client counts as a call: an action is chosen for each of them.
func TestActionsOnAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t)
		leases := pb.NewLeaseClient(dial(t, c))
		_, err := leases.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: 7, TTL: 60})
		require.NoError(t, err)
		c.On("LeaseKeepAlive", func(call *etcdfake.Call) etcdfake.Action {
			switch call.Number {
			case 1:
				return etcdfake.Answer(&pb.LeaseKeepAliveResponse{ID: 7, TTL: 5})
			case 2:
				return etcdfake.LoseAnswer(rpctypes.ErrGRPCTimeout)
			}
			return etcdfake.Pass()
		})
		time.Sleep(30 * time.Second)
		stream, err := leases.LeaseKeepAlive(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}))
		resp, err := stream.Recv()
		require.NoError(t, err)
		assert.Equal(t, int64(5), resp.TTL)
		assert.Equal(t, 30*time.Second, time.Until(c.Leases()[0].Expiry))
		require.NoError(t, stream.Send(&pb.LeaseKeepAliveRequest{ID: 7}))
		_, err = stream.Recv()
		assert.Equal(t, rpctypes.ErrTimeout, rpctypes.Error(err))
		assert.Equal(t, 60*time.Second, time.Until(c.Leases()[0].Expiry))
	})
}

func TestRequestsAreRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		mustPut(t, client, "k", "v")
		_, err := client.Get(t.Context(), "k", clientv3.WithRev(99))
		require.Equal(t, rpctypes.ErrFutureRev, err)
		var got []string
		for _, r := range c.Requests() {
			switch msg := r.Message.(type) {
			case *pb.PutRequest:
				got = append(got, "put "+string(msg.Key))
				assert.NoError(t, r.Err)
			case *pb.RangeRequest:
				got = append(got, "get "+string(msg.Key))
				assert.Equal(t, rpctypes.ErrGRPCFutureRev, r.Err)
			}
			assert.True(t, r.Done)
		}
		assert.Equal(t, []string{"put k", "get k"}, got)
	})
}
