package etcdfake

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// WatchPipes is an in-process pb.WatchClient.
type WatchPipes struct {
	*Pipes[pb.WatchRequest, pb.WatchResponse]
}

// WatchClient returns a client whose watch streams h serves; with nil, an own empty state does, as
// in a Server without a script. Close it at the end of the test. Messages are handed over as they
// are, not copied.
func WatchClient(h WatchHandler) *WatchPipes {
	s := newLocal()
	if h == nil {
		h = s.serveWatch
	}
	return &WatchPipes{newPipes(s, h)}
}

// Watch opens a stream.
func (c *WatchPipes) Watch(
	ctx context.Context, _ ...grpc.CallOption,
) (pb.Watch_WatchClient, error) {
	s, err := c.newStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// LeasePipes is an in-process pb.LeaseClient. Its unary methods work on a lease table of its own.
type LeasePipes struct {
	*Pipes[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
	pb.LeaseClient // of the unary methods
}

// LeaseClient returns a client whose keepalive streams h serves; with nil, the client's own lease
// table does. Close it at the end of the test. Messages are handed over as they are, not copied.
func LeaseClient(h KeepAliveHandler) *LeasePipes {
	s := newLocal()
	if h == nil {
		h = s.serveKeepAlive
	}
	return &LeasePipes{newPipes(s, h), pb.NewLeaseClient(localConn{s})}
}

// newLocal makes a server that is never started, for its state and its answers.
func newLocal() *Server {
	return &Server{opts: defaultOptions(), state: newState(), memberID: firstMemberID}
}

// LeaseKeepAlive opens a stream.
func (c *LeasePipes) LeaseKeepAlive(
	ctx context.Context, _ ...grpc.CallOption,
) (pb.Lease_LeaseKeepAliveClient, error) {
	s, err := c.newStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// localConn calls the default unary methods of a server that is not started.
type localConn struct{ *Server }

func (c localConn) Invoke(
	ctx context.Context, method string, req, reply any, _ ...grpc.CallOption,
) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	resp, err := c.apply(c.handlers()[method], req.(proto.Message), reply.(proto.Message))
	if err == nil && resp != reply {
		proto.Merge(reply.(proto.Message), resp)
	}
	return err
}

func (localConn) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "etcdfake: streams are pipes")
}
