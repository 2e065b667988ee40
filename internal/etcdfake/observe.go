package etcdfake

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// Request is one entry of the request log.
type Request struct {
	Method string        // full name
	Time   time.Time     // when it arrived
	Stream int           // which stream of the method it came on, from 1; 0 for unary requests
	Msg    proto.Message // the request, not to be modified; nil for the opening of a stream
}

type requestLog struct {
	off bool // read-only after Start

	// guarded by mu
	mu   sync.Mutex
	reqs []Request
}

// observe enters a request, or the opening of a stream, into the log.
func (s *Server) observe(ctx context.Context, m *method, req proto.Message, stream int) {
	if s.log.off {
		return
	}
	md, _ := metadata.FromIncomingContext(ctx)
	m.mu.Lock()
	m.lastMD = md
	m.mu.Unlock()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.reqs = append(s.log.reqs, Request{Method: m.name, Time: time.Now(), Stream: stream,
		Msg: req})
}

// Calls is how many requests of a method arrived: calls of a unary method, messages of a stream.
// Methods are named "Put" or "/etcdserverpb.KV/Put"; those of the health service only by their full
// name.
func (s *Server) Calls(method string) int { return int(s.method(method).calls.Load()) }

// Applied is how many requests of a method were carried out, whether or not their answer was then
// replaced by a failure; of a stream, how many answers its handler gave.
func (s *Server) Applied(method string) int { return int(s.method(method).applied.Load()) }

// Streams is how many streams of a method are open, and how many were opened since Start.
func (s *Server) Streams(method string) (open, total int) {
	m := s.method(method)
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open), m.openTotal
}

// LastMetadata is the metadata of the newest request or stream of a method; nil before the first,
// and with WithCanned.
func (s *Server) LastMetadata(method string) metadata.MD {
	m := s.method(method)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastMD.Copy()
}

// Requests returns the logged requests of the named methods, or of all, in the order of their
// arrival.
func (s *Server) Requests(methods ...string) []Request {
	s.tb.Helper()
	wanted := make(map[string]bool)
	for _, name := range methods {
		wanted[s.method(name).name] = true
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	var reqs []Request
	for _, r := range s.log.reqs {
		if len(wanted) == 0 || wanted[r.Method] {
			reqs = append(reqs, r)
		}
	}
	return reqs
}

// ForgetRequests empties the request log; the counters stay.
func (s *Server) ForgetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.reqs = nil
}

// RequestsOf returns the logged messages of one type in the order of their arrival:
// RequestsOf[*pb.PutRequest](s).
func RequestsOf[T proto.Message](s *Server) []T {
	var msgs []T
	for _, r := range s.Requests() {
		if msg, ok := r.Msg.(T); ok {
			msgs = append(msgs, msg)
		}
	}
	return msgs
}
