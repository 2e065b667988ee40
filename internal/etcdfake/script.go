package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/internal/testkit/pipes"
)

// WatchHandler serves one watch stream.
type WatchHandler = pipes.Handler[pb.WatchRequest, pb.WatchResponse]

// KeepAliveHandler serves one lease keepalive stream.
type KeepAliveHandler = pipes.Handler[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// Unary replaces the answers of a unary method; nil restores the default ones.
func (s *Server) Unary(method string, h UnaryHandler) {
	m := s.method(method)
	m.touch(func() { m.unary = h })
}

// Stream replaces the handler of a streaming method for streams opened from now on; nil restores
// the default one.
func (s *Server) Stream(method string, h StreamHandler) {
	m := s.method(method)
	m.touch(func() { m.stream = h })
}

// Watch replaces the handler of watch streams opened from now on; nil restores the default one.
func (s *Server) Watch(h WatchHandler) {
	if h == nil {
		s.Stream(pb.Watch_Watch_FullMethodName, nil)
		return
	}
	s.Stream(pb.Watch_Watch_FullMethodName, bidi(h))
}

// KeepAlive replaces the handler of lease keepalive streams opened from now on; nil restores the
// default one.
func (s *Server) KeepAlive(h KeepAliveHandler) {
	if h == nil {
		s.Stream(pb.Lease_LeaseKeepAlive_FullMethodName, nil)
		return
	}
	s.Stream(pb.Lease_LeaseKeepAlive_FullMethodName, bidi(h))
}

// ServeWatch serves a watch stream as the member does, for scripts that only look at or change some
// messages. ctx is that of the script.
func (s *Server) ServeWatch(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	return serveAsMember(ctx, recv, send)
}

// ServeKeepAlive serves a lease keepalive stream as the member does.
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

// typedStream is a raw stream made of the functions of a typed script.
type typedStream[Req, Resp proto.Message] struct {
	grpc.ServerStream // has no other methods than these
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

// bidi adapts a typed script to a raw stream.
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
