package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// WatchHandler is a script that serves one watch stream.
type WatchHandler = pipes.Handler[pb.WatchRequest, pb.WatchResponse]

// KeepAliveHandler is a script that serves one lease keepalive stream.
type KeepAliveHandler = pipes.Handler[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// Unary makes the script h answer the requests of a unary method in place of the member. If h is
// nil, the member answers them itself.
func (s *Server) Unary(method string, h UnaryHandler) {
	m := s.method(method)
	m.touch(func() { m.unary = h })
}

// Stream makes the script h serve the streams of a streaming method in place of the member. If h is
// nil, the member serves them itself. The change applies to streams that are opened from now on.
func (s *Server) Stream(method string, h StreamHandler) {
	m := s.method(method)
	m.touch(func() { m.stream = h })
}

// Watch makes the script h serve watch streams in place of the member. If h is nil, the member
// serves them itself. The change applies to streams that are opened from now on.
func (s *Server) Watch(h WatchHandler) {
	if h == nil {
		s.Stream(pb.Watch_Watch_FullMethodName, nil)
		return
	}
	s.Stream(pb.Watch_Watch_FullMethodName, bidi(h))
}

// KeepAlive makes the script h serve lease keepalive streams in place of the member. If h is nil,
// the member serves them itself. The change applies to streams that are opened from now on.
func (s *Server) KeepAlive(h KeepAliveHandler) {
	if h == nil {
		s.Stream(pb.Lease_LeaseKeepAlive_FullMethodName, nil)
		return
	}
	s.Stream(pb.Lease_LeaseKeepAlive_FullMethodName, bidi(h))
}

// ServeWatch lets the member serve a watch stream. The member receives requests with recv and sends
// responses with send. A script calls ServeWatch if it only observes or changes some messages. ctx
// must be the context that the script was called with, or a context derived from it.
func (s *Server) ServeWatch(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	return serveAsMember(ctx, recv, send)
}

// ServeKeepAlive lets the member serve a lease keepalive stream. The member receives requests with
// recv and sends responses with send. ctx must be the context that the script was called with, or a
// context derived from it.
func (s *Server) ServeKeepAlive(
	ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	send func(*pb.LeaseKeepAliveResponse) error,
) error {
	return serveAsMember(ctx, recv, send)
}

func serveAsMember[Req, Resp proto.Message](
	ctx context.Context, recv func() (Req, error), send func(Resp) error,
) error {
	return ctx.Value(memberKey{}).(StreamHandler)(&typedStream[Req, Resp]{ctx: ctx, recv: recv,
		send: send})
}

// typedStream is a gRPC server stream that receives and sends messages with the functions that a
// script has passed to ServeWatch or ServeKeepAlive.
type typedStream[Req, Resp proto.Message] struct {
	grpc.ServerStream // nil: only the methods that typedStream defines may be called
	ctx               context.Context
	recv              func() (Req, error)
	send              func(Resp) error
}

func (s *typedStream[Req, Resp]) Context() context.Context { return s.ctx }

func (s *typedStream[Req, Resp]) RecvMsg(msg any) error {
	req, err := s.recv()
	if err == nil {
		proto.Merge(msg.(proto.Message), req)
	}
	return err
}

func (s *typedStream[Req, Resp]) SendMsg(msg any) error { return s.send(msg.(Resp)) }

// bidi converts h, a script with typed messages, to a StreamHandler.
func bidi[Req, Resp any](h pipes.Handler[Req, Resp]) StreamHandler {
	return func(ss grpc.ServerStream) error {
		recv := func() (*Req, error) {
			req := new(Req)
			if err := ss.RecvMsg(req); err != nil {
				return nil, err
			}
			return req, nil
		}
		return h(ss.Context(), recv, func(resp *Resp) error { return ss.SendMsg(resp) })
	}
}
