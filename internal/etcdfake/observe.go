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
	Method string        // the full name of the method
	Time   time.Time     // when the request arrived
	Stream int           // the number of the stream, from 1 for each method; 0 for unary requests
	Msg    proto.Message // the request, not to be modified; nil for the opening of a stream
}

type requestLog struct {
	off bool // true if WithCanned has turned the log off; read-only after Start

	// guarded by mu
	mu   sync.Mutex
	reqs []Request
}

// observe adds a request, or the opening of a stream, to the request log. It also stores the
// metadata for LastMetadata.
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

// Calls returns how many requests of a method have arrived: calls of a unary method, or messages on
// the streams of a streaming method. The name of an etcd method is "Put" or "/etcdserverpb.KV/Put".
// A method of the health service has only its full name.
func (s *Server) Calls(method string) int { return int(s.method(method).calls.Load()) }

// Applied returns how many requests of a unary method have taken effect, including those whose
// answer was then replaced by a failure. For a streaming method, it returns how many answers the
// handlers of its streams have sent, including replaced ones.
func (s *Server) Applied(method string) int { return int(s.method(method).applied.Load()) }

// Streams returns how many streams of a method are open, and how many were opened since Start.
func (s *Server) Streams(method string) (open, total int) {
	m := s.method(method)
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open), m.openTotal
}

// LastMetadata returns the metadata of the newest request or stream of a method. It returns nil if
// there was none, or if WithCanned has turned the request log off.
func (s *Server) LastMetadata(method string) metadata.MD {
	m := s.method(method)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lastMD.Copy()
}

// Requests returns the logged requests of the named methods in the order of their arrival. Without
// names, it returns the requests of all methods.
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

// ForgetRequests empties the request log. It does not change what Calls, Applied and Streams
// return.
func (s *Server) ForgetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.reqs = nil
}

// RequestsOf returns the logged messages of one type in the order of their arrival. An example is
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
