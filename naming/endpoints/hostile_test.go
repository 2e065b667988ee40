package endpoints_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// TestHostileServerIsSurvived: the manager ignores malformed responses and events without a panic,
// and the channel of updates is closed when the context ends.
func TestHostileServerIsSurvived(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	fake := etcdfake.Start(t)
	fake.Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
		return &pb.RangeResponse{ // no header
			Kvs: []*mvccpb.KeyValue{{}, {Key: []byte("svc2/foreign"),
				Value: []byte(`{"Addr":"x"}`)},
				{Key: []byte("svc/a"), Value: []byte(`{"Addr":"a"}`), ModRevision: -1}},
			More: true, Count: -5,
		}, nil
	})
	fake.Watch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		if _, err := recv(); err != nil {
			return err
		}
		for _, resp := range []*pb.WatchResponse{
			{Created: true, WatchId: 0, Header: &pb.ResponseHeader{Revision: 1}},
			{WatchId: 0, Header: &pb.ResponseHeader{Revision: 9}, Events: []*mvccpb.Event{
				{}, {Type: 77, Kv: &mvccpb.KeyValue{Key: []byte("svc/b"), ModRevision: 5}},
				{Kv: &mvccpb.KeyValue{Key: []byte("svc2/b"), Value: []byte(`{}`), ModRevision: 5}},
				{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("svc2/c"),
					ModRevision: 5}},
				{Kv: &mvccpb.KeyValue{Key: []byte("svc/b"), Value: []byte(`{"Addr":"b"}`),
					ModRevision: 5}},
			}},
			{WatchId: 44, Events: []*mvccpb.Event{
				{Kv: &mvccpb.KeyValue{Key: []byte("svc/x"), Value: []byte(`{}`)}}}},
			{WatchId: 0, Canceled: true, CompactRevision: 1 << 62},
		} {
			if err := send(resp); err != nil {
				return err
			}
		}
		_, err := recv()
		return err
	})
	ch, err := newManager(t, newClient(t, fake.Addr()), "svc").NewWatchChannel(ctx)
	require.NoError(t, err)
	require.Equal(t, []*endpoints.Update{add("svc/a", ep{Addr: "a"})}, next(t, ch))
	require.Equal(t, []*endpoints.Update{add("svc/b", ep{Addr: "b"})}, next(t, ch))
	require.Equal(t, []*endpoints.Update{del("svc/b")}, next(t, ch),
		"the next list does not have it")
	cancel()
	requireClosed(t, ch)
}

// TestListsAreSpaced: if the server refuses each watch, the manager waits before it lists the
// endpoints again.
func TestListsAreSpaced(t *testing.T) {
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	fake := etcdfake.Start(t)
	fake.Watch(func(_ context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		for {
			if _, err := recv(); err != nil {
				return err
			}
			if err := send(&pb.WatchResponse{WatchId: -1, Created: true, Canceled: true,
				CancelReason: "no"}); err != nil {
				return err
			}
		}
	})
	ch, err := newManager(t, newClient(t, fake.Addr()), "svc").NewWatchChannel(ctx)
	require.NoError(t, err)
	requireClosed(t, ch)
	require.Less(t, fake.Calls("Range"), 12)
	require.Greater(t, fake.Calls("Range"), 2)
}
