package etcdfake

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
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

// LeasePipes is an in-process pb.LeaseClient. Its unary methods work on an own lease table.
type LeasePipes struct {
	*Pipes[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
}

// LeaseClient returns a client whose keepalive streams h serves; with nil, the client's own lease
// table does. Close it at the end of the test. Messages are handed over as they are, not copied.
func LeaseClient(h KeepAliveHandler) *LeasePipes {
	s := newLocal()
	if h == nil {
		h = s.serveKeepAlive
	}
	return &LeasePipes{newPipes(s, h)}
}

// newLocal makes a server that is never started, for its state and its answers.
func newLocal() *Server {
	o := defaultOptions()
	return &Server{opts: o, state: newState(time.Now), memberID: firstMemberID}
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

// LeaseGrant grants a lease of the client's own table.
func (c *LeasePipes) LeaseGrant(
	ctx context.Context, req *pb.LeaseGrantRequest, _ ...grpc.CallOption,
) (*pb.LeaseGrantResponse, error) {
	return call[*pb.LeaseGrantResponse](ctx, req, answer(c.local, (*state).grantLocked))
}

// LeaseRevoke revokes a lease of the client's own table.
func (c *LeasePipes) LeaseRevoke(
	ctx context.Context, req *pb.LeaseRevokeRequest, _ ...grpc.CallOption,
) (*pb.LeaseRevokeResponse, error) {
	return call[*pb.LeaseRevokeResponse](ctx, req, answer(c.local, (*state).revokeLocked))
}

// LeaseTimeToLive tells about a lease of the client's own table.
func (c *LeasePipes) LeaseTimeToLive(
	ctx context.Context, req *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption,
) (*pb.LeaseTimeToLiveResponse, error) {
	return call[*pb.LeaseTimeToLiveResponse](ctx, req, answer(c.local, (*state).timeToLiveLocked))
}

// LeaseLeases lists the client's own table.
func (c *LeasePipes) LeaseLeases(
	ctx context.Context, req *pb.LeaseLeasesRequest, _ ...grpc.CallOption,
) (*pb.LeaseLeasesResponse, error) {
	return call[*pb.LeaseLeasesResponse](ctx, req, answer(c.local, (*state).leasesLocked))
}

// call answers a request in process.
func call[Resp proto.Message](
	ctx context.Context, req proto.Message, h UnaryHandler,
) (resp Resp, err error) {
	if ctx.Err() != nil {
		return resp, status.FromContextError(ctx.Err()).Err()
	}
	msg, err := h(ctx, req)
	if err != nil {
		return resp, err
	}
	return msg.(Resp), nil
}
