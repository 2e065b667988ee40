package namespace_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
	"go.etcd.io/etcd/client/v3/namespace"
)

// hostileKV is a server in the test's process. It answers with keys outside the namespace, and with
// nil where a message from the network would have a value.
type hostileKV struct{ pb.KVClient }

func foreignPairs() []*mvccpb.KeyValue {
	return []*mvccpb.KeyValue{nil, {Key: []byte("q/x")}, {}, {Key: []byte("p/k")},
		{Key: []byte("p")}}
}

func rangeOf(kvs []*mvccpb.KeyValue) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{
		ResponseRange: &pb.RangeResponse{Kvs: kvs}}}
}

func (hostileKV) Range(
	context.Context, *pb.RangeRequest, ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Kvs: foreignPairs()}, nil
}

func (hostileKV) RangeStream(
	context.Context, *pb.RangeRequest, ...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	return &hostilePieces{}, nil
}

// hostilePieces is the stream of a RangeStream call. It returns one response, with keys outside the
// namespace.
type hostilePieces struct {
	grpc.ClientStream
	sent bool
}

func (s *hostilePieces) Recv() (*pb.RangeStreamResponse, error) {
	if s.sent {
		return nil, io.EOF
	}
	s.sent = true
	return &pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: foreignPairs()}}, nil
}

func (hostileKV) Put(context.Context, *pb.PutRequest, ...grpc.CallOption) (*pb.PutResponse, error) {
	return &pb.PutResponse{PrevKv: &mvccpb.KeyValue{Key: []byte("q/x")}}, nil
}

func (hostileKV) DeleteRange(
	context.Context, *pb.DeleteRangeRequest, ...grpc.CallOption,
) (*pb.DeleteRangeResponse, error) {
	return &pb.DeleteRangeResponse{PrevKvs: foreignPairs()}, nil
}

func (hostileKV) Txn(context.Context, *pb.TxnRequest, ...grpc.CallOption) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{Responses: []*pb.ResponseOp{
		nil, {},
		{Response: &pb.ResponseOp_ResponseRange{}},
		{Response: &pb.ResponseOp_ResponsePut{}},
		{Response: &pb.ResponseOp_ResponseTxn{}},
		{Response: &pb.ResponseOp_ResponseDeleteRange{}},
		{Response: &pb.ResponseOp_ResponseTxn{
			ResponseTxn: &pb.TxnResponse{Responses: []*pb.ResponseOp{nil,
				rangeOf(foreignPairs())}}}},
	}}, nil
}

func requireOwn(t *testing.T, kvs []*mvccpb.KeyValue) {
	t.Helper()
	require.Len(t, kvs, 1)
	require.Equal(t, "k", string(kvs[0].Key))
}

// TestKeysOfOthersAreLeftOut: keys outside the namespace are left out of answers.
func TestKeysOfOthersAreLeftOut(t *testing.T) {
	kv, ctx := namespace.NewKV(clientv3.NewKVFromKVClient(hostileKV{}, nil), "p/"), t.Context()
	get, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	requireOwn(t, get.Kvs)
	put, err := kv.Put(ctx, "k", "v", clientv3.WithPrevKV())
	require.NoError(t, err)
	require.Nil(t, put.PrevKv)
	del, err := kv.Delete(ctx, "k", clientv3.WithPrevKV())
	require.NoError(t, err)
	requireOwn(t, del.PrevKvs)
	txn, err := kv.Txn(ctx).Then(clientv3.OpGet("k")).Commit()
	require.NoError(t, err)
	requireOwn(t, txn.Responses[6].GetResponseTxn().Responses[1].GetResponseRange().Kvs)
	done, err := kv.Do(ctx, clientv3.OpTxn(nil, nil, nil))
	require.NoError(t, err)
	require.Len(t, done.Txn().Responses, 7)
	whole, err := readAll(kv.GetStream(ctx, "k",
		clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)))
	require.NoError(t, err)
	requireOwn(t, whole.Kvs)
}

// TestEventsOfOthersAreLeftOut: a watch does not deliver events that have no key or a key outside
// the namespace.
func TestEventsOfOthersAreLeftOut(t *testing.T) {
	hostile := []*mvccpb.Event{nil, {}, {Kv: &mvccpb.KeyValue{}},
		{Kv: &mvccpb.KeyValue{Key: []byte("q/x"), ModRevision: 5}}}
	own := &mvccpb.Event{
		Kv:     &mvccpb.KeyValue{Key: []byte("p/k"), ModRevision: 6},
		PrevKv: &mvccpb.KeyValue{Key: []byte("q/x")},
	}
	pipes := pipes.NewWatch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		if _, err := recv(); err != nil {
			return err
		}
		for _, resp := range []*pb.WatchResponse{
			{Created: true, Header: &pb.ResponseHeader{Revision: 4}},
			{Events: hostile, Header: &pb.ResponseHeader{Revision: 5}},
			{Events: []*mvccpb.Event{own}, Header: &pb.ResponseHeader{Revision: 6}},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
		_, err := recv()
		return err
	})
	defer pipes.Close()
	inner := clientv3.NewWatchFromWatchClient(pipes, nil)
	for name, inner := range map[string]clientv3.Watcher{"own": inner,
		"foreign": foreignWatcher{inner}} {
		ctx, cancel := context.WithCancel(t.Context())
		responses := namespace.NewWatcher(inner, "p/").Watch(ctx, "k")
		var events []*mvccpb.Event
		for len(events) == 0 {
			events = (<-responses).Events
		}
		require.Len(t, events, 1, name)
		require.Equal(t, "k", string(events[0].Kv.Key), name)
		require.Nil(t, events[0].PrevKv, name)
		cancel()
	}
	require.NoError(t, inner.Close())
}

func TestLeaseKeysOfOthers(t *testing.T) {
	fake := etcdfake.New(t)
	fake.On("LeaseTimeToLive", func(*etcdfake.Call) etcdfake.Action {
		return etcdfake.Answer(&pb.LeaseTimeToLiveResponse{ID: 1, TTL: 1 << 62, GrantedTTL: -1,
			Keys: [][]byte{nil, []byte("p"), []byte("p/k"), []byte("q/")}})
	})
	l := namespace.NewLease(newClient(t, fake.Listen()).Lease, "p/")
	resp, err := l.TimeToLive(t.Context(), 1, clientv3.WithAttachedKeys())
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("k")}, resp.Keys)
}
