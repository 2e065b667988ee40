package clientv3

import (
	"bytes"
	"context"
	"slices"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// fakeKV is a pb.KVClient in the process. A method without a function answers with
// an empty response. It keeps copies of all requests.
type fakeKV struct {
	onRange  func(ctx context.Context, req *pb.RangeRequest) (*pb.RangeResponse, error)
	onStream func(ctx context.Context, req *pb.RangeRequest) (pb.KV_RangeStreamClient, error)
	err      error // of the methods without a function

	mu       sync.Mutex
	requests []proto.Message
}

func (f *fakeKV) note(req proto.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, proto.Clone(req))
}

// seen returns the requests so far.
func (f *fakeKV) seen() []proto.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fakeKV) Range(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	f.note(req)
	if f.onRange != nil {
		return f.onRange(ctx, req)
	}
	return answer(&pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, f.err)
}

func (f *fakeKV) RangeStream(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	if f.onStream != nil {
		return f.onStream(ctx, req)
	}
	return nil, status.Error(codes.Unimplemented, "no streams here")
}

func (f *fakeKV) Put(
	_ context.Context, req *pb.PutRequest, _ ...grpc.CallOption,
) (*pb.PutResponse, error) {
	f.note(req)
	return answer(&pb.PutResponse{Header: &pb.ResponseHeader{Revision: 2}}, f.err)
}

func (f *fakeKV) DeleteRange(
	_ context.Context, req *pb.DeleteRangeRequest, _ ...grpc.CallOption,
) (*pb.DeleteRangeResponse, error) {
	f.note(req)
	return answer(&pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: 3}}, f.err)
}

func (f *fakeKV) Txn(
	_ context.Context, req *pb.TxnRequest, _ ...grpc.CallOption,
) (*pb.TxnResponse, error) {
	f.note(req)
	return answer(&pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 4}}, f.err)
}

func (f *fakeKV) Compact(
	_ context.Context, req *pb.CompactionRequest, _ ...grpc.CallOption,
) (*pb.CompactionResponse, error) {
	f.note(req)
	return answer(&pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: 5}}, f.err)
}

func answer[T any](resp *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// fakeStream is the receiving end of a RangeStream: it delivers msgs, then ends
// with err, or where that is nil with its context.
type fakeStream struct {
	grpc.ClientStream
	ctx  context.Context
	msgs []*pb.RangeStreamResponse
	err  error
}

func (s *fakeStream) Recv() (*pb.RangeStreamResponse, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if len(s.msgs) > 0 {
		msg := s.msgs[0]
		s.msgs = s.msgs[1:]
		return msg, nil
	}
	if s.err != nil {
		return nil, s.err
	}
	<-s.ctx.Done()
	return nil, status.FromContextError(s.ctx.Err()).Err()
}

// streamOf makes an onStream that delivers pieces and ends with err.
func streamOf(
	err error, pieces ...*pb.RangeResponse,
) func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
	return func(ctx context.Context, _ *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		s := &fakeStream{ctx: ctx, err: err}
		for _, piece := range pieces {
			s.msgs = append(s.msgs, &pb.RangeStreamResponse{RangeResponse: piece})
		}
		return s, nil
	}
}

// rangeOf makes an onRange that answers from kvs, which are sorted, as a server
// does for requests without sort and revision bounds. Each answer comes from a
// newer revision than the one before.
func rangeOf(
	kvs []*mvccpb.KeyValue,
) func(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	revision := int64(100)
	return func(ctx context.Context, req *pb.RangeRequest) (*pb.RangeResponse, error) {
		if err := ctx.Err(); err != nil {
			return nil, status.FromContextError(err).Err()
		}
		revision++
		resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: revision}}
		for _, kv := range kvs {
			if bytes.Compare(kv.Key, req.Key) < 0 || string(req.RangeEnd) != endOfKeys &&
				bytes.Compare(kv.Key, req.RangeEnd) >= 0 {
				continue
			}
			resp.Count++
			if req.Limit > 0 && int64(len(resp.Kvs)) == req.Limit {
				resp.More = true
				continue
			}
			resp.Kvs = append(resp.Kvs, kv)
		}
		return resp, nil
	}
}
