package resolver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// TestHostileServerIsSurvived: a resolver reads malformed responses and events without a panic. It
// resolves the name to the endpoints that decode, and the connection uses the one that works. The
// connection can be closed while the server still sends events.
func TestHostileServerIsSurvived(t *testing.T) {
	fake, server := etcdfake.Start(t), newServer(t)
	pair := func(key, value string) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: -1}
	}
	kvs := []*mvccpb.KeyValue{
		{}, pair("svc/1", "not json"), pair("svc/2", "null"), pair("svc/3", "[]"),
		pair("svc/4", `{"Addr":7}`),
		pair("svc/5", `{}`), pair("svc/6", `{"Addr":"127.0.0.1:1","Metadata":{"uncomparable":[1,{}]}}`),
		pair("svc/7", `{"Addr":"\u0000 no address %zz"}`), pair("svc", `{"Addr":"x"}`),
		pair("svc2/1", `{"Addr":"x"}`),
	}
	fake.Unary("Range", func(context.Context, proto.Message) (proto.Message, error) {
		return &pb.RangeResponse{Kvs: kvs, More: true, Count: -5}, nil // without a header
	})
	fake.Watch(func(ctx context.Context, recv func() (*pb.WatchRequest, error),
		send func(*pb.WatchResponse) error) error {
		req, err := recv()
		if err != nil {
			return err
		}
		id := req.GetCreateRequest().GetWatchId()
		if err := send(&pb.WatchResponse{Created: true, WatchId: id,
			Header: &pb.ResponseHeader{Revision: 1}}); err != nil {
			return err
		}
		for rev := int64(2); ctx.Err() == nil; rev++ {
			events := []*mvccpb.Event{{}, {Type: 77, Kv: pair("svc/6", "")},
				{Type: mvccpb.Event_DELETE, Kv: pair("svc2/1", "")}}
			for _, kv := range append(kvs, pair("svc/8", `{"Addr":"`+server+`"}`)) {
				kv := proto.Clone(kv).(*mvccpb.KeyValue)
				kv.ModRevision = rev
				events = append(events, &mvccpb.Event{Kv: kv})
			}
			if err := send(&pb.WatchResponse{WatchId: id, Header: &pb.ResponseHeader{Revision: rev},
				Events: events}); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	conn := dial(t, newClient(t, fake.Addr()), "svc")
	for range 20 {
		addr, err := ask(testContext(t), conn, grpc.WaitForReady(true))
		require.NoError(t, err)
		require.Equal(t, server, addr)
	}
}
