package etcdfake

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/client/v3/etcdfake/internal/store"
)

// serverStream is one stream that a member serves. A test can end it with EndStreams or LoseLeader.
type serverStream struct {
	grpc.ServerStream

	// read-only after newStream
	m      *Member
	meth   *method
	number int
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // poke sends on it when a response of a watch may be due

	sending sync.Mutex // held while a message is sent, so that only one is sent at a time
	// edit holds the function given to Edit, which changes each message before it is sent. The
	// pointer is never nil. The function is nil if there is nothing to change.
	edit atomic.Pointer[editFunc]

	once  sync.Once
	ended chan struct{} // closed by the method end
	err   error         // the status of the stream; set before the channel ended is closed
	watch *store.WatchStream
}

func (m *Member) newStream(meth *method, ss grpc.ServerStream) *serverStream {
	s := &serverStream{ServerStream: ss, m: m, meth: meth, number: m.c.log.nextStream(),
		wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ss.Context())
	s.edit.Store(new(editFunc))
	return s
}

// end ends the stream with the status err. Later calls of end have no effect.
func (s *serverStream) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
		s.cancel()
	})
}

// poke wakes a watch stream, so that the stream sends the responses that are due.
func (s *serverStream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Context returns the context of the stream. The context ends when the stream ends, for whatever
// reason.
func (s *serverStream) Context() context.Context { return s.ctx }

// SendMsg sends a message. If a function was given to Edit, this function may change the message
// first. SendMsg is safe for concurrent use: concurrent calls send one after the other.
func (s *serverStream) SendMsg(msg any) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	reply, err := s.m.edited(s.meth, *s.edit.Load(), msg.(proto.Message))
	if err != nil {
		return err
	}
	return s.ServerStream.SendMsg(reply)
}

// RecvMsg receives a message on a stream of the health service, and adds the message to the request
// log. The function given to On may delay or refuse the message, or edit the messages that the
// stream then sends. The actions Answer and LoseAnswer have no effect on such a stream.
func (s *serverStream) RecvMsg(msg any) error {
	if err := s.ServerStream.RecvMsg(msg); err != nil {
		return err
	}
	record, call := s.m.c.log.begin(s.ctx, s.m, s.meth.name, s.number, msg.(proto.Message))
	act, err := s.m.c.hooks.decide(call)
	s.m.c.log.end(record, err)
	s.edit.Store(&act.edit)
	return err
}

// serveStream serves a stream until its handler returns, the method end is called, or the client
// goes away. It returns the status of the stream.
func (m *Member) serveStream(meth *method, ss grpc.ServerStream) error {
	s := m.newStream(meth, ss)
	defer s.cancel()
	if m.c.store.IsLearner(m.id) && meth.name != pb.Maintenance_Snapshot_FullMethodName {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	if err := m.checkMetadata(s.ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	if !m.start(s, done) {
		return status.Error(codes.Unavailable, "etcdfake: the member is stopped")
	}
	defer m.forget(s)
	select {
	case err := <-done:
		select {
		case <-s.ended:
			return s.err
		default:
			return err
		}
	case <-s.ended:
		return s.err
	case <-ss.Context().Done():
		return status.FromContextError(ss.Context().Err()).Err()
	}
}

func (m *Member) forget(s *serverStream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, s)
}

// start runs the handler of a stream on a goroutine and returns true. If the member is stopped, it
// returns false and does not run the handler.
//
// The member may be stopped here, because an interceptor of the test can call the handler late,
// when shutDown already waits for all handlers.
func (m *Member) start(s *serverStream, done chan<- error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.grpc == nil {
		return false
	}
	m.streams[s] = struct{}{}
	// The goroutine ends when the handler returns. A handler returns at the latest when s.ctx ends.
	// shutDown waits for the goroutine.
	m.handlers.Go(func() { done <- s.serve() })
	return true
}

func (s *serverStream) serve() error {
	switch s.meth.name {
	case pb.Watch_Watch_FullMethodName:
		return s.serveWatch()
	case pb.Lease_LeaseKeepAlive_FullMethodName:
		return s.serveMessages(new(pb.LeaseKeepAliveRequest), s.renew)
	case pb.KV_RangeStream_FullMethodName:
		return s.serveMessages(new(pb.RangeRequest), s.rangeStream)
	case pb.Maintenance_Snapshot_FullMethodName:
		return s.serveMessages(new(pb.SnapshotRequest), s.snapshot)
	}
	return status.Errorf(codes.Unimplemented, "etcdfake: %s is not part of the fake", s.meth.name)
}

// serveMessages handles each message of the client with f. It returns when the client has sent its
// last message, or with the error of a message that it cannot receive or handle. The message in
// first is empty, and has the type that the client sends.
func (s *serverStream) serveMessages(first proto.Message, f func(proto.Message) error) error {
	for {
		msg := first.ProtoReflect().New().Interface()
		if err := s.ServerStream.RecvMsg(msg); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := s.take(msg, f); err != nil {
			return err
		}
		if !s.meth.desc.IsStreamingClient() {
			return nil
		}
	}
}

// take handles one message of the client. It adds the message to the request log and calls the
// function given to On. Then it calls f, or does what the function given to On has decided. An
// error ends the stream.
func (s *serverStream) take(msg proto.Message, f func(proto.Message) error) (err error) {
	record, call := s.m.c.log.begin(s.ctx, s.m, s.meth.name, s.number, msg)
	defer func() { s.m.c.log.end(record, err) }()
	act, err := s.m.c.hooks.decide(call)
	if err != nil {
		return err
	}
	s.edit.Store(&act.edit)
	switch act.kind {
	case answer:
		reply, err := s.m.checkAnswer(s.meth, act.answer)
		if err != nil {
			return err
		}
		return s.SendMsg(reply)
	case lose:
		s.end(s.loseAnswer(msg, f, act.err))
		return act.err
	}
	if err := s.m.awaitDefragmentation(s.ctx); err != nil {
		return err
	}
	return f(msg)
}

// loseAnswer calls f, so that the message takes effect, but drops everything that f sends to the
// client. It returns the error of f. If f succeeds, it returns the error in the parameter lost.
func (s *serverStream) loseAnswer(
	msg proto.Message, f func(proto.Message) error, lost error,
) error {
	s.sending.Lock()
	sender := s.ServerStream
	s.ServerStream = silent{sender}
	s.sending.Unlock()
	if err := f(msg); err != nil {
		return err
	}
	return lost
}

// silent is a stream that drops every message that is sent on it.
type silent struct{ grpc.ServerStream }

func (silent) SendMsg(any) error { return nil }

func (s *serverStream) renew(msg proto.Message) error {
	if err := s.m.c.awaitLeader(s.ctx, rpctypes.ErrGRPCNoLeader); err != nil {
		return err
	}
	resp, err := s.m.c.store.KeepAlive(s.m.caller(tokens(s.ctx)), msg.(*pb.LeaseKeepAliveRequest))
	if err != nil {
		return err
	}
	if err := wait(s.ctx, s.m.lagging()); err != nil {
		return err
	}
	return s.SendMsg(resp)
}

func (s *serverStream) rangeStream(msg proto.Message) error {
	req := msg.(*pb.RangeRequest)
	if !req.Serializable {
		if err := s.m.c.awaitLeader(s.ctx, rpctypes.ErrGRPCTimeout); err != nil {
			return err
		}
		if err := wait(s.ctx, s.m.lagging()); err != nil {
			return err
		}
	}
	return s.m.c.store.RangeStream(s.m.caller(tokens(s.ctx)), req,
		func(chunk *pb.RangeStreamResponse) error { return s.SendMsg(chunk) })
}

func (s *serverStream) snapshot(proto.Message) error {
	chunks, err := s.m.c.store.Snapshot(s.m.caller(tokens(s.ctx)))
	return sendAll(s, chunks, err)
}

func sendAll[M proto.Message](s *serverStream, messages []M, err error) error {
	if err != nil {
		return err
	}
	for _, msg := range messages {
		if err := s.SendMsg(msg); err != nil {
			return err
		}
	}
	return nil
}

// serveWatch sends the responses of the stream's watchers, while another goroutine receives the
// client's requests. A client that has closed its sending side still gets responses.
func (s *serverStream) serveWatch() error {
	ws := s.m.c.store.OpenWatch(s.m.caller(tokens(s.ctx)), s.poke)
	defer ws.Close()
	s.setWatch(ws)
	received := make(chan error, 1)
	// The goroutine ends when it cannot receive or handle another message, at the latest at the end
	// of the stream. shutDown waits for the goroutine.
	s.m.handlers.Go(func() {
		err := s.serveMessages(new(pb.WatchRequest), func(msg proto.Message) error {
			ws.Request(msg.(*pb.WatchRequest), s.m.lagging())
			return nil
		})
		if err != nil {
			received <- err
		}
	})
	tick := time.NewTicker(s.m.c.opts.progress)
	defer tick.Stop()
	for {
		next, err := s.sendDue(ws)
		if err != nil {
			return err
		}
		select {
		case <-s.wake:
		case <-next:
		case <-tick.C:
			ws.Tick()
		case err := <-received:
			return err
		case <-s.ctx.Done():
			return status.FromContextError(s.ctx.Err()).Err()
		}
	}
}

// sendDue sends the queued responses that are due, given the member's lag. It returns a channel
// that is ready when the next queued response is due, or nil if the queue is empty.
func (s *serverStream) sendDue(ws *store.WatchStream) (<-chan time.Time, error) {
	if err := s.m.awaitDefragmentation(s.ctx); err != nil {
		return nil, err
	}
	lag := s.m.lagging()
	due, next, more := ws.Take(time.Now().Add(-lag))
	for _, resp := range due {
		if err := s.SendMsg(resp); err != nil {
			return nil, err
		}
	}
	if !more {
		return nil, nil
	}
	return time.NewTimer(time.Until(next.Add(lag))).C, nil
}

func (s *serverStream) setWatch(ws *store.WatchStream) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.watch = ws
}
