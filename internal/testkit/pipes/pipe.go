package pipes

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Pipes opens streams to a handler. A stream ends when its handler returns, when the stream's
// context ends, or when Close is called.
type Pipes[Req, Resp any] struct {
	// read-only after newPipes
	handler Handler[Req, Resp]

	running sync.WaitGroup // counts the handlers that run

	// guarded by mu
	mu     sync.Mutex
	open   map[*pipe[Req, Resp]]struct{}
	total  int
	closed bool
}

func newPipes[Req, Resp any](h Handler[Req, Resp]) *Pipes[Req, Resp] {
	return &Pipes[Req, Resp]{handler: h, open: make(map[*pipe[Req, Resp]]struct{})}
}

// Streams returns how many streams are open, and how many were opened in total.
func (p *Pipes[Req, Resp]) Streams() (open, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open), p.total
}

// Close ends all streams, refuses new ones and waits until every handler has returned.
func (p *Pipes[Req, Resp]) Close() {
	p.mu.Lock()
	p.closed = true
	for s := range p.open {
		s.cancel()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// newStream starts the handler on a new stream. The outgoing metadata of ctx become the incoming
// metadata of the handler's context.
func (p *Pipes[Req, Resp]) newStream(ctx context.Context) (*pipe[Req, Resp], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, status.Error(codes.Unavailable, "pipes: pipes are closed")
	}
	s := &pipe[Req, Resp]{
		reqs:  make(chan *Req),
		resps: make(chan *Resp),
		half:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	p.open[s] = struct{}{}
	p.total++
	md, _ := metadata.FromOutgoingContext(ctx)
	hctx := metadata.NewIncomingContext(s.ctx, md)
	// The goroutine ends when the handler returns. The functions with which the handler receives
	// and sends return an error after ctx has ended or Close was called. Close waits for the
	// goroutine.
	p.running.Go(func() {
		s.err = p.handler(hctx, s.serverRecv, s.serverSend)
		close(s.ended)
		s.cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, s)
	})
	return s, nil
}

// pipe is the client's end of one stream; it implements grpc.BidiStreamingClient.
type pipe[Req, Resp any] struct {
	// read-only after newStream
	ctx    context.Context
	cancel context.CancelFunc

	// safe for concurrent use
	reqs  chan *Req     // sent to by Send, never closed
	resps chan *Resp    // sent to by the handler, never closed
	half  chan struct{} // closed by CloseSend to half-close the stream
	once  sync.Once     // lets CloseSend close half only once
	ended chan struct{} // closed after the handler has returned
	err   error         // the error that the handler returned; set before ended is closed
}

func (s *pipe[Req, Resp]) serverRecv() (*Req, error) {
	select {
	case req := <-s.reqs:
		return req, nil
	case <-s.half:
		return nil, io.EOF
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *pipe[Req, Resp]) serverSend(resp *Resp) error {
	select {
	case s.resps <- resp:
		return nil
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// Send blocks until the handler receives req. It returns io.EOF if the stream has ended; then Recv
// returns the reason.
func (s *pipe[Req, Resp]) Send(req *Req) error {
	select {
	case <-s.half:
		return status.Error(codes.Internal, "pipes: Send after CloseSend")
	default:
	}
	select {
	case s.reqs <- req:
		return nil
	case <-s.ended:
		return io.EOF
	case <-s.ctx.Done():
		return io.EOF
	}
}

// Recv blocks until the handler sends a response or returns, or the stream's context ends. It
// returns io.EOF if the handler has returned nil.
func (s *pipe[Req, Resp]) Recv() (*Resp, error) {
	select {
	case resp := <-s.resps:
		return resp, nil
	case <-s.ended:
		return nil, s.endError()
	case <-s.ctx.Done():
	}
	select {
	case <-s.ended: // the handler has returned, which also cancels ctx: return the handler's error
		return nil, s.endError()
	default:
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
}

func (s *pipe[Req, Resp]) endError() error {
	if s.err == nil {
		return io.EOF
	}
	if _, ok := status.FromError(s.err); ok {
		return s.err
	}
	return status.FromContextError(s.err).Err()
}

func (s *pipe[Req, Resp]) CloseSend() error {
	s.once.Do(func() { close(s.half) })
	return nil
}

func (s *pipe[Req, Resp]) Context() context.Context     { return s.ctx }
func (s *pipe[Req, Resp]) Header() (metadata.MD, error) { return nil, nil }
func (s *pipe[Req, Resp]) Trailer() metadata.MD         { return nil }

// SendMsg calls Send with m, which must be a *Req.
func (s *pipe[Req, Resp]) SendMsg(m any) error {
	req, ok := m.(*Req)
	if !ok {
		return status.Errorf(codes.Internal, "pipes: cannot send %T", m)
	}
	return s.Send(req)
}

// RecvMsg calls Recv and copies the response into m.
func (s *pipe[Req, Resp]) RecvMsg(m any) error {
	dst, ok := m.(proto.Message)
	if !ok {
		return status.Errorf(codes.Internal, "pipes: cannot receive into %T", m)
	}
	resp, err := s.Recv()
	if err != nil {
		return err
	}
	proto.Reset(dst)
	proto.Merge(dst, any(resp).(proto.Message))
	return nil
}
