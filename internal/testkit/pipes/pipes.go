// Package pipes opens watch and keepalive streams to a function in the test's process, without a
// network, a connection or a buffer: a Send waits until the other side receives. So a test in
// virtual time decides the order of messages, and plays a server that breaks the protocol.
package pipes

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Handler serves one stream. recv returns io.EOF after the client has half-closed the stream; recv
// and send fail when the stream is over. ctx carries the incoming metadata.
type Handler[Req, Resp any] = func(
	ctx context.Context, recv func() (*Req, error), send func(*Resp) error) error

// Watch is a pb.WatchClient whose streams a handler serves.
type Watch struct {
	*Pipes[pb.WatchRequest, pb.WatchResponse]
}

// NewWatch returns a client whose watch streams h serves. Close it at the end of the test. Messages
// are handed over as they are, not copied.
func NewWatch(h Handler[pb.WatchRequest, pb.WatchResponse]) *Watch { return &Watch{newPipes(h)} }

// Watch opens a stream.
func (w *Watch) Watch(ctx context.Context, _ ...grpc.CallOption) (pb.Watch_WatchClient, error) {
	s, err := w.newStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Lease is a pb.LeaseClient whose keepalive streams a handler serves.
type Lease struct {
	*Pipes[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]
	pb.LeaseClient // of the unary methods
}

// NewLease returns a client whose keepalive streams h serves. Close it at the end of the test. The
// unary methods are those of unary. Messages are handed over as they are, not copied.
func NewLease(
	unary pb.LeaseClient, h Handler[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse],
) *Lease {
	return &Lease{newPipes(h), unary}
}

// LeaseKeepAlive opens a stream.
func (l *Lease) LeaseKeepAlive(
	ctx context.Context, _ ...grpc.CallOption,
) (pb.Lease_LeaseKeepAliveClient, error) {
	s, err := l.newStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}
