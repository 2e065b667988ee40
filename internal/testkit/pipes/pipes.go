// Package pipes opens watch and keepalive streams to a function in the test's process. There is no
// network, connection or buffer: a Send waits until the other side receives. So a test in virtual
// time can decide the order of messages, and can play a server that breaks the protocol.
package pipes

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Handler serves one stream. recv returns io.EOF after the client has half-closed the stream. recv
// and send return an error when the stream has ended. ctx carries the client's metadata.
type Handler[Req, Resp any] = func(
	ctx context.Context, recv func() (*Req, error), send func(*Resp) error) error

// Watch is a pb.WatchClient whose streams a handler serves.
type Watch struct {
	*Pipes[pb.WatchRequest, pb.WatchResponse]
}

// NewWatch returns a client whose watch streams are served by h. Close it at the end of the test.
// Messages are passed on without a copy.
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
	pb.LeaseClient // serves the unary methods
}

// NewLease returns a client whose keepalive streams are served by h. Its unary methods are those of
// the parameter unary. Close it at the end of the test. Messages are passed on without a copy.
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
