package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// WatchHandler serves one watch stream. recv returns io.EOF after the client has half-closed the
// stream; recv and send fail when the stream is over. ctx carries the incoming metadata.
type WatchHandler = func(ctx context.Context, recv func() (*pb.WatchRequest, error),
	send func(*pb.WatchResponse) error) error

// KeepAliveHandler serves one lease keepalive stream, as WatchHandler does a watch stream.
type KeepAliveHandler = func(ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	send func(*pb.LeaseKeepAliveResponse) error) error

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

// Apply gives the default answer of a unary method, for scripts that only change some answers. The
// key-values in it are the server's own and must not be changed.
func (s *Server) Apply(
	ctx context.Context, method string, req proto.Message,
) (proto.Message, error) {
	return s.method(method).defaultUnary(ctx, req)
}

// ServeWatch serves a watch stream as the server does without a script, for scripts that only look
// at or change some messages.
func (s *Server) ServeWatch(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	return s.serveWatch(ctx, recv, send)
}

// ServeKeepAlive serves a lease keepalive stream as the server does without a script.
func (s *Server) ServeKeepAlive(
	ctx context.Context, recv func() (*pb.LeaseKeepAliveRequest, error),
	send func(*pb.LeaseKeepAliveResponse) error,
) error {
	return s.serveKeepAlive(ctx, recv, send)
}

// bidi adapts a typed script to a raw stream.
func bidi[Req, Resp any](
	h func(context.Context, func() (*Req, error), func(*Resp) error) error,
) StreamHandler {
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
