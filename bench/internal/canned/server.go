// Package canned is an etcd server that computes nothing: it answers each request with bytes that
// were marshalled before, so that a benchmark of clients measures the clients.
//
// The key of a request says what is answered:
//
//	range/N/SIZE/        a range of N keys with values of SIZE bytes
//	watch/N/COUNT/RATE/  a watch that gets COUNT responses of N events, RATE responses a second,
//	                     or as fast as the client reads them if RATE is 0. The first 8 bytes of
//	                     each value are the time at which the server sent it, in nanoseconds
//	                     since 1970, big-endian.
//	spread/N/COUNT/RATE/ the same responses, but sent in turn to all watches of the stream
//	anything else        one key with a value of 256 bytes; a watch without events
//
// Keepalives are answered with the TTL that the lease was granted with, at least [DefaultTTL].
package canned

import (
	"context"
	"errors"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// DefaultTTL is the TTL, in seconds, of a lease that was granted without one.
const DefaultTTL = 3

// maxMessage bounds what the server receives.
const maxMessage = 16 << 20

// NewServer returns a new server. The caller must call its methods Serve and Stop.
func NewServer() *grpc.Server {
	s := &server{put: marshal(putAnswer()), txn: marshal(txnAnswer()),
		status: marshal(statusAnswer())}
	return grpc.NewServer(grpc.UnknownServiceHandler(s.handle),
		grpc.ForceServerCodecV2(bytesCodec{}), grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(1<<20))
}

// server holds the answers that do not depend on the request.
type server struct {
	put, txn, status frame
	ranges           ranges
	leases           leases
	watchEnds        sync.Map
}

// handle answers a call of any method.
func (s *server) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case pb.KV_Put_FullMethodName:
		return always(stream, s.put)
	case pb.KV_Txn_FullMethodName:
		return always(stream, s.txn)
	case pb.KV_Range_FullMethodName:
		return s.ranges.answer(stream)
	case pb.Watch_Watch_FullMethodName:
		return endOfStream(watch(stream, &s.watchEnds))
	case pb.Lease_LeaseGrant_FullMethodName:
		return s.leases.grant(stream)
	case pb.Lease_LeaseRevoke_FullMethodName:
		return always(stream, marshal(&pb.LeaseRevokeResponse{Header: header()}))
	case pb.Lease_LeaseKeepAlive_FullMethodName:
		return endOfStream(s.leases.keepAlive(stream))
	case pb.Maintenance_Status_FullMethodName:
		return always(stream, s.status)
	case healthpb.Health_Watch_FullMethodName:
		return serving(stream)
	}
	return status.Errorf(codes.Unimplemented, "no canned answer to %s", method)
}

// always receives the one request of a call, and sends answer.
func always(stream grpc.ServerStream, answer frame) error {
	var request frame
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	return stream.SendMsg(&answer)
}

// serving sends one response to a health check: the server is serving. It returns when the client
// ends the check.
func serving(stream grpc.ServerStream) error {
	answer := marshal(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING})
	if err := always(stream, answer); err != nil {
		return err
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// endOfStream returns nil if err says that the client has ended the stream. Otherwise it returns
// err.
func endOfStream(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// receive reads a message from the stream into m.
func receive(stream grpc.ServerStream, m proto.Message) error {
	var request frame
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	if err := proto.Unmarshal(request, m); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// frame is a marshalled message.
type frame []byte

// marshal returns m marshalled. It panics if m cannot be marshalled; all messages of this package
// can.
func marshal(m proto.Message) frame {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// bytesCodec passes frames, which are marshalled messages, to and from the transport.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*frame))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*frame) = data.Materialize()
	return nil
}

func (bytesCodec) Name() string { return "proto" }
