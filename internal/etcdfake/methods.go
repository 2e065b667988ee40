package etcdfake

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// UnaryHandler answers one unary request. ctx ends when the call ends or the server stops.
type UnaryHandler = func(ctx context.Context, req proto.Message) (proto.Message, error)

// StreamHandler serves one stream and returns the status of the stream. The context of the stream
// ends when the stream ends or the server stops. The handler must then return.
type StreamHandler = func(s grpc.ServerStream) error

// method holds the scripts, the failures and the counters of one RPC method of a Server.
type method struct {
	// read-only after Start
	name     string // the full name, such as "/etcdserverpb.KV/Put"
	response protoreflect.MessageType
	canned   proto.Message

	// atomic, so not guarded by mu
	calls   atomic.Int64
	applied atomic.Int64
	touched atomic.Bool // true if a script, failure or delay was set; then canned is not used

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

// newMethods reads the methods of etcd and of the health service from protobuf descriptors. It
// returns them by full name, and etcd's methods also by short name.
func newMethods() map[string]*method {
	methods := make(map[string]*method)
	for _, file := range []protoreflect.FileDescriptor{pb.File_rpc_proto,
		healthpb.File_grpc_health_v1_health_proto} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				desc := service.Methods().Get(j)
				m := &method{name: "/" + string(service.FullName()) + "/" + string(desc.Name()),
					open: make(map[*serverStream]struct{})}
				// The lookup cannot fail, because the generated packages have registered all
				// messages.
				m.response, _ = protoregistry.GlobalTypes.FindMessageByName(
					desc.Output().FullName())
				methods[m.name] = m
				if file == pb.File_rpc_proto {
					methods[string(desc.Name())] = m
				}
			}
		}
	}
	return methods
}

// method finds an RPC method by its full name or, for a method of etcd, by its short name. It fails
// the test if there is no such method.
func (s *Server) method(name string) *method {
	s.tb.Helper()
	if m := s.methods[name]; m != nil {
		return m
	}
	s.tb.Fatalf("etcdfake: no method %q", name)
	return nil
}

// missing returns the error Unimplemented if m is a method of the health service and the server is
// set up without this service.
func (s *Server) missing(m *method) error {
	if s.opts.noHealth && healthMethods[m.name] {
		return status.Error(codes.Unimplemented, "unknown service grpc.health.v1.Health")
	}
	return nil
}

// healthMethods holds the full names of the methods of the gRPC health service.
var healthMethods = map[string]bool{healthpb.Health_Check_FullMethodName: true,
	healthpb.Health_List_FullMethodName: true, healthpb.Health_Watch_FullMethodName: true}

// serveUnary logs a request, waits for the method's delay, applies the failures that are set, and
// answers the request. If WithCanned has set an answer for the method, and no script, failure or
// delay was set, serveUnary only counts the request and returns the answer of WithCanned.
func (s *Server) serveUnary(
	ctx context.Context, m *method, req proto.Message, next grpc.UnaryHandler,
) (any, error) {
	m.calls.Add(1)
	if m.canned != nil && !m.touched.Load() {
		return m.canned, nil
	}
	s.observe(ctx, m, req, 0)
	if err := s.missing(m); err != nil {
		return nil, err
	}
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	if err := m.failBefore(); err != nil {
		return nil, err
	}
	resp, err := s.answer(ctx, m, req, next)
	if err != nil {
		return nil, err
	}
	m.applied.Add(1)
	if err := m.failAfter(); err != nil {
		return nil, err
	}
	return resp, nil
}

func (s *Server) answer(
	ctx context.Context, m *method, req proto.Message, next grpc.UnaryHandler,
) (any, error) {
	m.mu.Lock()
	script := m.unary
	m.mu.Unlock()
	if script != nil {
		return script(ctx, req)
	}
	if check, ok := req.(*healthpb.HealthCheckRequest); ok {
		return s.health.Check(ctx, check)
	}
	return next(ctx, req)
}

func (s *Server) streamHandler(m *method, next StreamHandler) StreamHandler {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.stream != nil:
		return m.stream
	case m.name == healthpb.Health_Watch_FullMethodName:
		return s.watchHealth
	}
	return next
}

func (s *Server) watchHealth(ss grpc.ServerStream) error {
	req := new(healthpb.HealthCheckRequest)
	if err := ss.RecvMsg(req); err != nil {
		return err
	}
	return s.health.Watch(req, &grpc.GenericServerStream[healthpb.HealthCheckRequest,
		healthpb.HealthCheckResponse]{ServerStream: ss})
}
