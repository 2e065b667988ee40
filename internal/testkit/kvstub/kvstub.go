// Package kvstub has a pb.KVClient that answers requests in the test's process. Tests use it to see
// which requests a KV sends, and how it reads responses. The package imports no package of the
// client, because tests inside the root package use it, too.
package kvstub

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

// Stub is a pb.KVClient that keeps copies of its requests. Set its fields before the first request.
type Stub struct {
	// OnRange answers Range. If it is nil, Range returns Err or an empty response.
	OnRange func(ctx context.Context, req *pb.RangeRequest) (*pb.RangeResponse, error)
	// OnStream answers RangeStream. If it is nil, RangeStream returns codes.Unimplemented.
	OnStream func(ctx context.Context, req *pb.RangeRequest) (pb.KV_RangeStreamClient, error)
	// Err is the error that Put, DeleteRange, Txn and Compact return. Range returns it, too, if
	// OnRange is nil.
	Err error

	mu       sync.Mutex
	requests []proto.Message
}

func (s *Stub) note(req proto.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, proto.Clone(req))
}

// Requests returns the requests so far, except those of RangeStream.
func (s *Stub) Requests() []proto.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Range returns the result of OnRange. If OnRange is nil, Range returns Err or an empty response at
// revision 1.
func (s *Stub) Range(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (*pb.RangeResponse, error) {
	s.note(req)
	if s.OnRange != nil {
		return s.OnRange(ctx, req)
	}
	return answer(&pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}, s.Err)
}

// RangeStream returns the result of OnStream, or codes.Unimplemented if OnStream is nil.
func (s *Stub) RangeStream(
	ctx context.Context, req *pb.RangeRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	if s.OnStream != nil {
		return s.OnStream(ctx, req)
	}
	return nil, status.Error(codes.Unimplemented, "no streams here")
}

// Put returns Err, or an empty response at revision 2.
func (s *Stub) Put(
	_ context.Context, req *pb.PutRequest, _ ...grpc.CallOption,
) (*pb.PutResponse, error) {
	s.note(req)
	return answer(&pb.PutResponse{Header: &pb.ResponseHeader{Revision: 2}}, s.Err)
}

// DeleteRange returns Err, or an empty response at revision 3.
func (s *Stub) DeleteRange(
	_ context.Context, req *pb.DeleteRangeRequest, _ ...grpc.CallOption,
) (*pb.DeleteRangeResponse, error) {
	s.note(req)
	return answer(&pb.DeleteRangeResponse{Header: &pb.ResponseHeader{Revision: 3}}, s.Err)
}

// Txn returns Err, or an empty response at revision 4.
func (s *Stub) Txn(
	_ context.Context, req *pb.TxnRequest, _ ...grpc.CallOption,
) (*pb.TxnResponse, error) {
	s.note(req)
	return answer(&pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 4}}, s.Err)
}

// Compact returns Err, or an empty response at revision 5.
func (s *Stub) Compact(
	_ context.Context, req *pb.CompactionRequest, _ ...grpc.CallOption,
) (*pb.CompactionResponse, error) {
	s.note(req)
	return answer(&pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: 5}}, s.Err)
}

func answer[T any](resp *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Stream is the receiving end of a RangeStream. It delivers Msgs, and then ends with Err. If Err is
// nil, it ends with Ctx's error when Ctx ends.
type Stream struct {
	grpc.ClientStream
	Ctx  context.Context
	Msgs []*pb.RangeStreamResponse
	Err  error
}

// Recv returns the next message of Msgs, or the error that the stream ends with.
func (s *Stream) Recv() (*pb.RangeStreamResponse, error) {
	if err := s.Ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if len(s.Msgs) > 0 {
		msg := s.Msgs[0]
		s.Msgs = s.Msgs[1:]
		return msg, nil
	}
	if s.Err != nil {
		return nil, s.Err
	}
	<-s.Ctx.Done()
	return nil, status.FromContextError(s.Ctx.Err()).Err()
}

// StreamOf returns a function for Stub.OnStream. The function returns a stream that delivers the
// responses in the parameter pieces, and then ends with err.
func StreamOf(
	err error, pieces ...*pb.RangeResponse,
) func(context.Context, *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
	return func(ctx context.Context, _ *pb.RangeRequest) (pb.KV_RangeStreamClient, error) {
		s := &Stream{Ctx: ctx, Err: err}
		for _, piece := range pieces {
			s.Msgs = append(s.Msgs, &pb.RangeStreamResponse{RangeResponse: piece})
		}
		return s, nil
	}
}

// endOfKeys is the end of a range that has no upper bound.
const endOfKeys = "\x00"

// RangeOf returns a function for Stub.OnRange that answers from kvs. The keys in kvs must be
// sorted. The function answers as a server does, but ignores sort orders and bounds on revisions.
// The first response has revision 101, and each later response has the next revision.
func RangeOf(
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

// KeyValues returns a key-value pair for each key.
func KeyValues(keys ...string) []*mvccpb.KeyValue {
	kvs := make([]*mvccpb.KeyValue, len(keys))
	for i, key := range keys {
		kvs[i] = &mvccpb.KeyValue{Key: []byte(key), Value: []byte("value of " + key)}
	}
	return kvs
}

// Piece returns one message of a RangeStream response, with the given keys. It is not the last
// message: it has no header and no count.
func Piece(keys ...string) *pb.RangeResponse {
	return &pb.RangeResponse{Kvs: KeyValues(keys...)}
}

// LastPiece returns the last message of a RangeStream response, with the given keys. The field
// Count says that the whole range has count keys.
func LastPiece(count int64, keys ...string) *pb.RangeResponse {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 9}, Kvs: KeyValues(keys...),
		Count: count}
}
