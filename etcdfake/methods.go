package etcdfake

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const etcdPrefix = "/etcdserverpb."

// method describes one RPC method of etcd or of the gRPC health service.
type method struct {
	name    Method
	desc    protoreflect.MethodDescriptor
	request protoreflect.MessageType
}

// methods holds the RPC methods of etcd, by full name.
var methods = readMethods(pb.File_rpc_proto)

// healthMethods holds the RPC methods of the gRPC health service, by full name. The fake does not
// implement them itself: it uses the package health of gRPC.
var healthMethods = readMethods(healthpb.File_grpc_health_v1_health_proto)

func readMethods(file protoreflect.FileDescriptor) map[Method]*method {
	found := make(map[Method]*method)
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		for j := range service.Methods().Len() {
			desc := service.Methods().Get(j)
			m := &method{name: Method("/" + string(service.FullName()) + "/" + string(desc.Name())),
				desc: desc}
			// The lookup cannot fail, because the generated packages have registered all messages.
			m.request, _ = protoregistry.GlobalTypes.FindMessageByName(desc.Input().FullName())
			found[m.name] = m
		}
	}
	return found
}

// fullName returns the full name of a method. m is the full name itself, or the last part of the
// full name of an etcd method. fullName returns false if there is no such method.
func fullName(m Method) (Method, bool) {
	if methods[m] != nil || healthMethods[m] != nil {
		return m, true
	}
	for full := range methods {
		if strings.HasSuffix(string(full), "/"+string(m)) {
			return full, true
		}
	}
	return "", false
}

// register registers etcd's methods on a gRPC server. It leaves out RangeStream if the members are
// older than etcd 3.7.
func (m *Member) register(srv *grpc.Server) {
	services := make(map[string]*grpc.ServiceDesc)
	for _, meth := range methods {
		if meth.name == pb.KV_RangeStream_FullMethodName && olderThan(m.c.opts.version, 3, 7) {
			continue
		}
		name := string(meth.desc.Parent().FullName())
		if services[name] == nil {
			services[name] = &grpc.ServiceDesc{ServiceName: name}
		}
		m.offer(services[name], meth)
	}
	for _, sd := range services {
		srv.RegisterService(sd, nil)
	}
}

// offer adds a method to the description of its gRPC service.
func (m *Member) offer(sd *grpc.ServiceDesc, meth *method) {
	name, client, server := string(meth.desc.Name()), meth.desc.IsStreamingClient(),
		meth.desc.IsStreamingServer()
	if !client && !server {
		sd.Methods = append(sd.Methods, grpc.MethodDesc{MethodName: name,
			Handler: m.unaryHandler(meth)})
		return
	}
	sd.Streams = append(sd.Streams, grpc.StreamDesc{
		StreamName:    name,
		ServerStreams: server,
		ClientStreams: client,
		Handler:       func(_ any, ss grpc.ServerStream) error { return m.serveStream(meth, ss) },
	})
}

func (m *Member) unaryHandler(meth *method) grpc.MethodHandler {
	info := &grpc.UnaryServerInfo{FullMethod: string(meth.name)}
	serve := func(ctx context.Context, req any) (any, error) {
		return m.serveUnary(ctx, meth, req.(proto.Message))
	}
	return func(_ any, ctx context.Context, decode func(any) error,
		intercept grpc.UnaryServerInterceptor) (any, error) {
		req := meth.request.New().Interface()
		if err := decode(req); err != nil {
			return nil, err
		}
		return intercept(ctx, req, info, serve)
	}
}
