package etcdfake

import (
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var errEnded = status.Error(codes.Canceled, "etcdfake: stream ended from outside")

// memberKey is the key of a context value. In the context of a stream, the value is the
// StreamHandler with which the member itself serves the stream.
type memberKey struct{}

// serverStream is one stream, as a handler sees it. It logs and delays the messages that the
// handler receives. [serverStream.end] ends the stream even if the handler is blocked.
type serverStream struct {
	grpc.ServerStream

	// read-only after serveStream
	server *Server
	m      *method
	number int // 1 for the first stream of the method
	ctx    context.Context
	cancel context.CancelFunc

	once  sync.Once
	ended chan struct{} // serverStream.end closes it
	err   error         // the status of the stream; set before ended is closed
}

// serveStream runs the handler of a stream. It returns the status of the stream as soon as the
// handler returns, [serverStream.end] is called, or the client goes away.
func (s *Server) serveStream(m *method, ss grpc.ServerStream, next StreamHandler) error {
	if err := s.missing(m); err != nil {
		return err
	}
	st := &serverStream{ServerStream: ss, server: s, m: m, ended: make(chan struct{})}
	st.ctx, st.cancel = context.WithCancel(context.WithValue(ss.Context(), memberKey{}, next))
	defer st.cancel()
	m.opened(st)
	defer m.closed(st)
	s.observe(ss.Context(), m, nil, st.number)
	if err := m.failBefore(); err != nil {
		return err
	}
	handler := s.streamHandler(m, next)
	done := make(chan error, 1)
	// The goroutine ends when the handler returns. A handler must return when st.ctx ends. The end
	// of the test waits for the goroutine.
	s.running.Go(func() { done <- handler(st) })
	select {
	case err := <-done:
		if st.hasEnded() {
			return st.err
		}
		return err
	case <-st.ended:
		return st.err
	case <-ss.Context().Done():
		return status.FromContextError(ss.Context().Err()).Err()
	}
}

// end ends the stream with the status err. It does not wait for the handler of the stream.
func (st *serverStream) end(err error) {
	st.once.Do(func() {
		st.err = err
		close(st.ended)
		st.cancel()
	})
}

func (st *serverStream) hasEnded() bool {
	select {
	case <-st.ended:
		return true
	default:
		return false
	}
}

// Context returns the context of the stream. The context ends when the stream ends, for whatever
// reason.
func (st *serverStream) Context() context.Context { return st.ctx }

// RecvMsg receives the client's next message, logs it, and waits for the method's delay.
func (st *serverStream) RecvMsg(msg any) error {
	if st.hasEnded() {
		return errEnded
	}
	if err := st.ServerStream.RecvMsg(msg); err != nil {
		return err
	}
	st.m.calls.Add(1)
	if req, ok := msg.(*pb.WatchRequest); ok && st.server.opts.ownWatchIDs {
		if create := req.GetCreateRequest(); create != nil {
			create.WatchId = 0
		}
	}
	st.server.observe(st.ServerStream.Context(), st.m, msg.(proto.Message), st.number)
	return st.m.wait(st.ctx)
}

// SendMsg sends an answer. If FailAfterApply has set a failure for the method, SendMsg ends the
// stream with the error of the failure, and sends nothing.
func (st *serverStream) SendMsg(msg any) error {
	if st.hasEnded() {
		return errEnded
	}
	st.m.applied.Add(1)
	if err := st.m.failAfter(); err != nil {
		st.end(err)
		return err
	}
	return st.ServerStream.SendMsg(msg)
}

func (m *method) opened(st *serverStream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.openTotal++
	st.number = m.openTotal
	m.open[st] = struct{}{}
}

func (m *method) closed(st *serverStream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, st)
}

// Break ends all open streams of a method with the status err, as a member that shuts down does. If
// err is nil, the streams end with OK, which a client sees as io.EOF. Break returns how many
// streams were open. Streams that are opened later are not affected.
func (s *Server) Break(name string, err error) int {
	m := s.method(name)
	m.mu.Lock()
	open := make([]*serverStream, 0, len(m.open))
	for st := range m.open {
		open = append(open, st)
	}
	m.mu.Unlock()
	for _, st := range open {
		st.end(err)
	}
	return len(open)
}
