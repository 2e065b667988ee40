package kubernetes_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// streamsOnly is a gRPC stub that only has the method RangeStream. The tests of Kubernetes' storage
// use such stubs.
type streamsOnly struct {
	pb.KVClient
	open func(context.Context) (pb.KV_RangeStreamClient, error)
}

func (s streamsOnly) RangeStream(
	ctx context.Context, _ *pb.RangeRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	return s.open(ctx)
}

// refusedStream is a stream whose first message is an error.
type refusedStream struct {
	grpc.ClientStream
	err error
}

func (s refusedStream) Recv() (*pb.RangeStreamResponse, error) { return nil, s.err }

// TestGetStreamOnAStubReturnsItsUnimplemented: if a KV was made from the caller's own gRPC stub,
// and the stub's RangeStream returns Unimplemented, GetStream returns this error. It does not read
// pages instead, because such callers have their own fallback.
func TestGetStreamOnAStubReturnsItsUnimplemented(t *testing.T) {
	unimplemented := status.Error(codes.Unimplemented, "unknown method RangeStream")
	stubs := map[string]streamsOnly{
		"when opened": {open: func(context.Context) (pb.KV_RangeStreamClient, error) {
			return nil, unimplemented
		}},
		"by first message": {open: func(context.Context) (pb.KV_RangeStreamClient, error) {
			return refusedStream{err: unimplemented}, nil
		}},
	}
	ranges := map[string][]clientv3.OpOption{
		"prefix":     {clientv3.WithPrefix(), clientv3.WithLimit(500)},
		"one key":    nil,
		"count only": {clientv3.WithPrefix(), clientv3.WithCountOnly()},
		"sorted": {clientv3.WithPrefix(),
			clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)},
		"bounded": {clientv3.WithPrefix(), clientv3.WithMinModRev(3)},
	}
	client := clientv3.NewCtxClient(t.Context())
	defer client.Close()
	for refused, stub := range stubs {
		for name, opts := range ranges {
			for _, c := range []*clientv3.Client{client, nil} {
				t.Run(refused+"/"+name, func(t *testing.T) {
					stream, err := clientv3.NewKVFromKVClient(stub, c).GetStream(t.Context(), "k",
						opts...)
					if err == nil {
						_, err = clientv3.GetStreamToGetResponse(stream)
					}
					assert.Equal(t, unimplemented, err)
				})
			}
		}
	}
}
