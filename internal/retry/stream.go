package retry

import (
	"cmp"
	"context"
	"io"

	"google.golang.org/grpc"
)

// NewStream opens a stream. It blocks until there is a connection, ctx ends, or the client is
// closed.
//
// The stream of a read with one request opens itself again if it fails before its first message.
// After that message, only the caller knows how to go on. All other streams are opened once.
func (c *Conn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if err := c.over(ctx); err != nil {
		return nil, err
	}
	seen, a := c.generation(), c.newAttempt(ctx, method, policies[method], opts)
	stream, err := c.cc.NewStream(a, desc, method, a.opts...)
	if err != nil {
		return nil, cmp.Or(c.over(ctx), err)
	}
	if desc.ClientStreams || a.policy != read {
		return stream, nil
	}
	return &replay{
		ClientStream: stream, ctx: ctx, desc: desc, callers: opts, tried: a, seen: seen,
	}, nil
}

// replay is the stream of a read whose answer is a stream. It opens the stream again if the stream
// fails before its first message. As with any gRPC stream, one goroutine at a time may send and one
// may receive. The caller must send its one request before it receives, because RecvMsg uses the
// request without a lock.
type replay struct {
	grpc.ClientStream // the stream that was opened last

	ctx     context.Context
	desc    *grpc.StreamDesc
	callers []grpc.CallOption

	tried    *attempt // the latest attempt
	seen     uint64   // the number (generation) of the client's token before the latest attempt
	request  any
	received bool
}

func (r *replay) SendMsg(m any) error {
	r.request = m
	if err := r.ClientStream.SendMsg(m); err != nil && err != io.EOF {
		return err
	}
	return nil // io.EOF says only that the stream has failed; RecvMsg returns the stream's error
}

func (r *replay) RecvMsg(m any) error {
	err := r.ClientStream.RecvMsg(m)
	if r.received || err == nil || err == io.EOF {
		r.received = true
		return err
	}
	s := r.tried.conn.newLoop(r.ctx, r.tried)
	defer s.end()
	for s.shouldRetry(err, r.tried, r.seen) {
		if err = r.reopen(m); err == nil || err == io.EOF {
			r.received = true
			return err
		}
	}
	return s.result
}

// reopen opens the stream again, sends the request, and receives the first message into m.
func (r *replay) reopen(m any) error {
	conn, a := r.tried.conn, r.tried.again(r.ctx, r.callers)
	r.seen, r.tried = conn.generation(), a
	stream, err := conn.cc.NewStream(a, r.desc, a.method, a.opts...)
	if err != nil {
		return err
	}
	r.ClientStream = stream
	if err := stream.SendMsg(r.request); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(m)
}
