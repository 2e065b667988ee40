package etcdfake

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// UnaryHandler answers one request. Its context ends with the call and with the server.
type UnaryHandler = func(ctx context.Context, req proto.Message) (proto.Message, error)

// StreamHandler serves one stream; what it returns is the stream's status. The stream's context
// ends with the stream and with the server, and the handler must then return.
type StreamHandler = func(s grpc.ServerStream) error

// method is what the server knows and remembers about one RPC method.
type method struct {
	// read-only after Start
	name          string // "/etcdserverpb.KV/Put"
	desc          protoreflect.MethodDescriptor
	request       protoreflect.MessageType
	defaultUnary  UnaryHandler
	defaultStream StreamHandler
	canned        proto.Message

	// own synchronisation
	calls   atomic.Int64
	applied atomic.Int64
	touched atomic.Bool // a script, failure or delay was set: the canned answer is off

	// guarded by mu
	mu        sync.Mutex
	unary     UnaryHandler
	stream    StreamHandler
	before    []failure
	after     []failure
	delay     time.Duration
	lastMD    metadata.MD
	open      map[*serverStream]struct{}
	openTotal int
}

// newMethods builds the table of all methods that the server offers, from the protobuf descriptors.
func (s *Server) newMethods() map[string]*method {
	files := []protoreflect.FileDescriptor{pb.File_rpc_proto}
	if !s.opts.noHealth {
		files = append(files, healthpb.File_grpc_health_v1_health_proto)
	}
	unary, streams := s.handlers(), s.defaultStreams()
	methods := make(map[string]*method)
	for _, file := range files {
		for i := range file.Services().Len() {
			svc := file.Services().Get(i)
			for j := range svc.Methods().Len() {
				m := newMethod(svc.Methods().Get(j))
				m.defaultStream = streams[m.name]
				m.defaultUnary = s.defaultUnary(m.desc, unary[m.name])
				m.canned = s.opts.canned[m.name]
				methods[m.name] = m
			}
		}
	}
	delete(methods, s.opts.without)
	return methods
}

func newMethod(desc protoreflect.MethodDescriptor) *method {
	m := &method{
		name: "/" + string(desc.Parent().FullName()) + "/" + string(desc.Name()),
		desc: desc,
		open: make(map[*serverStream]struct{}),
	}
	// The generated packages have registered their messages, so this cannot fail.
	m.request, _ = protoregistry.GlobalTypes.FindMessageByName(desc.Input().FullName())
	return m
}

func (m *method) streaming() bool {
	return m.desc.IsStreamingClient() || m.desc.IsStreamingServer()
}

// method finds a method by its full name, or if it is one of an etcd service by its short one:
// "/etcdserverpb.KV/Put" or "Put". It fails the test if the server has no such method.
func (s *Server) method(name string) *method {
	if m := s.methods[name]; m != nil {
		return m
	}
	for full, m := range s.methods {
		if strings.HasPrefix(full, etcdPrefix) && strings.HasSuffix(full, "/"+name) {
			return m
		}
	}
	s.tb.Helper()
	s.tb.Fatalf("etcdfake: no method %q", name)
	return nil
}

// register offers all methods on a gRPC server.
func (s *Server) register(srv *grpc.Server) {
	services := make(map[string]*grpc.ServiceDesc)
	for _, m := range s.methods {
		name := string(m.desc.Parent().FullName())
		sd := services[name]
		if sd == nil {
			sd = &grpc.ServiceDesc{ServiceName: name}
			services[name] = sd
		}
		if m.streaming() {
			sd.Streams = append(sd.Streams, grpc.StreamDesc{
				StreamName:    string(m.desc.Name()),
				ServerStreams: m.desc.IsStreamingServer(),
				ClientStreams: m.desc.IsStreamingClient(),
				Handler:       s.streamHandler(m),
			})
			continue
		}
		sd.Methods = append(sd.Methods, grpc.MethodDesc{MethodName: string(m.desc.Name()),
			Handler: s.unaryHandler(m)})
	}
	for _, sd := range services {
		srv.RegisterService(sd, nil)
	}
}

// streamHandler adapts a streaming method to gRPC.
func (s *Server) streamHandler(m *method) grpc.StreamHandler {
	return func(_ any, ss grpc.ServerStream) error { return s.serveStream(m, ss) }
}

// unaryHandler adapts a method to gRPC. The canned answer needs nothing but the request decoded and
// counted.
func (s *Server) unaryHandler(m *method) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error,
		_ grpc.UnaryServerInterceptor) (any, error) {
		req := m.request.New().Interface()
		if err := decode(req); err != nil {
			return nil, err
		}
		m.calls.Add(1)
		if m.canned != nil && !m.touched.Load() {
			return m.canned, nil
		}
		return s.serveUnary(ctx, m, req)
	}
}

// serveUnary observes a request, lets it wait or fail, and answers it.
func (s *Server) serveUnary(ctx context.Context, m *method, req proto.Message) (any, error) {
	s.observe(ctx, m, req, 0)
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	if err := m.failBefore(); err != nil {
		return nil, err
	}
	if err := s.state.checkToken(ctx, m.name); err != nil {
		return nil, err
	}
	resp, err := m.unaryHandler()(ctx, req)
	if err != nil {
		return nil, err
	}
	m.applied.Add(1)
	if err := m.failAfter(); err != nil {
		return nil, err
	}
	return resp, nil
}

func (m *method) unaryHandler() UnaryHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unary != nil {
		return m.unary
	}
	return m.defaultUnary
}

func (m *method) streamHandler() StreamHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream != nil {
		return m.stream
	}
	return m.defaultStream
}
