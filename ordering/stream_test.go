package ordering

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// onlyKV hides all methods of a KV that are not in the interface clientv3.KV.
type onlyKV struct{ clientv3.KV }

func readStream(
	t *testing.T, kv clientv3.KV, opts ...clientv3.OpOption,
) (*clientv3.GetResponse, error) {
	t.Helper()
	stream, err := kv.GetStream(t.Context(), "k", append(opts, clientv3.WithSerializable())...)
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(stream)
}

// TestStreamsAreInOrder: no streamed read returns data that is older than what the KV has read
// before.
func TestStreamsAreInOrder(t *testing.T) {
	for name, wrap := range map[string]func(clientv3.KV) clientv3.KV{
		"the client's KV": func(kv clientv3.KV) clientv3.KV { return kv },
		"any KV":          func(kv clientv3.KV) clientv3.KV { return onlyKV{kv} },
	} {
		t.Run(name, func(t *testing.T) {
			_, eps := fakes(t, 9, 4)
			client := newClient(t, eps...)
			kv := NewKV(wrap(client.KV), NewOrderViolationSwitchEndpointClosure(client))
			client.SetEndpoints(eps[0])
			_, err := get(t, kv)
			require.NoError(t, err)
			client.SetEndpoints(eps[1])
			_, err = readStream(t, kv)
			require.Equal(t, ErrNoGreaterRev, err)
			client.SetEndpoints(eps...)
			for len(client.Endpoints()) > 1 { // until an old response limits the client to eps[0]
				_, err := get(t, kv)
				require.NoError(t, err)
			}
			got, err := readStream(t, kv)
			require.NoError(t, err)
			require.EqualValues(t, 9, got.Header.Revision)
			require.Equal(t, "9", string(got.Kvs[0].Value))

			past, err := readStream(t, kv, clientv3.WithRev(5))
			require.NoError(t, err)
			require.Equal(t, "5", string(past.Kvs[0].Value))
			_, err = kv.GetStream(t.Context(), "")
			require.ErrorIs(t, err, rpctypes.ErrEmptyKey)
		})
	}
}

// TestStreamsOnServersThatHaveNone: on a server without RangeStream, GetStream reads the range page
// by page.
func TestStreamsOnServersThatHaveNone(t *testing.T) {
	fake := etcdfake.Start(t, etcdfake.WithEtcd35())
	client := newClient(t, fake.Addr())
	for i := range 100 {
		_, err := client.Put(t.Context(), "k"+string(rune('a'+i)), "v")
		require.NoError(t, err)
	}
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	want, err := kv.Get(t.Context(), "k", clientv3.WithPrefix())
	require.NoError(t, err)
	got, err := readStream(t, kv, clientv3.WithPrefix())
	require.NoError(t, err)
	require.True(t, proto.Equal((*pb.RangeResponse)(want), (*pb.RangeResponse)(got)))
}

// TestAStreamRaisesTheRevision: a key is written during a streamed read, so the header of a later
// piece has a newer revision. From then on, the KV returns no response with an older revision.
func TestAStreamRaisesTheRevision(t *testing.T) {
	servers, eps := fakes(t, 9)
	kv := NewKV(newClient(t, eps...).KV, nil)
	servers[0].Unary("Range", func(ctx context.Context, req proto.Message) (proto.Message, error) {
		resp, err := servers[0].Apply(ctx, "Range", req)
		if err == nil {
			_, err = servers[0].Apply(ctx, "Put",
				&pb.PutRequest{Key: []byte("k"), Value: []byte("later")})
		}
		return resp, err
	})
	got, err := readStream(t, kv)
	require.NoError(t, err)
	require.EqualValues(t, 10, got.Header.Revision)
	require.Equal(t, "9", string(got.Kvs[0].Value), "the newest when the stream began")
	require.EqualValues(t, 10, kv.(*orderedKV).seen.Load())
}

// TestAbandonedStreamsLeakNothing: closing the client ends streams that the program has not read.
func TestAbandonedStreamsLeakNothing(t *testing.T) {
	fake := etcdfake.Start(t)
	client := newClient(t, fake.Addr())
	for i := range 100 {
		_, err := client.Put(t.Context(), "k"+string(rune('a'+i)), "v")
		require.NoError(t, err)
	}
	before := runtime.NumGoroutine()
	kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
	for range 20 {
		_, err := kv.GetStream(context.WithoutCancel(t.Context()), "k", clientv3.WithPrefix())
		require.NoError(t, err)
	}
	require.NoError(t, client.Close())
	require.Eventually(t, func() bool {
		return runtime.NumGoroutine() <= before
	}, time.Minute, time.Millisecond)
}

// TestMalformedAnswersAreErrors: reads fail if every response lacks the header, or its header has a
// revision that is not valid.
func TestMalformedAnswersAreErrors(t *testing.T) {
	for name, answer := range map[string]*pb.RangeResponse{
		"no header":         {},
		"negative revision": {Header: &pb.ResponseHeader{Revision: -7}},
	} {
		t.Run(name, func(t *testing.T) {
			servers, eps := fakes(t, 9)
			client := newClient(t, eps...)
			fresh := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
			kv := NewKV(client.KV, NewOrderViolationSwitchEndpointClosure(client))
			patient := NewKV(client.KV, func(clientv3.Op, clientv3.OpResponse, int64) error {
				return nil
			})
			for _, kv := range []clientv3.KV{kv, patient} {
				_, err := get(t, kv)
				require.NoError(t, err)
			}
			servers[0].Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
				return answer, nil
			})
			servers[0].Unary("Txn", func(context.Context, proto.Message) (proto.Message, error) {
				return &pb.TxnResponse{}, nil
			})

			_, err := fresh.Txn(t.Context()).Then(clientv3.OpGet("k")).Commit()
			require.NoError(t, err, "nothing to compare with")
			_, err = readStream(t, fresh)
			require.True(t, err == nil || errors.Is(err, ErrNoGreaterRev), err)
			_, err = kv.Get(t.Context(), "k")
			require.Equal(t, ErrNoGreaterRev, err)
			_, err = kv.Txn(t.Context()).Then(clientv3.OpGet("k")).Commit()
			require.Equal(t, ErrNoGreaterRev, err)
			_, err = readStream(t, kv)
			require.Equal(t, ErrNoGreaterRev, err)

			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err = patient.Get(ctx, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}
