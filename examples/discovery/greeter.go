package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// greeter is a server of the service. It could be any gRPC service. This one is gRPC's own health
// service, because it needs no generated code. The server sends its name in the header of each
// response.
type greeter struct {
	grpc_health_v1.UnimplementedHealthServer
	name string
}

func (g *greeter) Check(
	ctx context.Context, _ *grpc_health_v1.HealthCheckRequest,
) (*grpc_health_v1.HealthCheckResponse, error) {
	status := grpc_health_v1.HealthCheckResponse_SERVING
	return &grpc_health_v1.HealthCheckResponse{Status: status},
		grpc.SetHeader(ctx, metadata.Pairs("name", g.name))
}

// serve runs the server on a free port until ctx ends. As long as the server runs, its address is
// registered in etcd. serve deletes the address before it stops the server, because otherwise
// clients would call a stopped server.
func serve(ctx context.Context, out io.Writer, client *clientv3.Client, name string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, &greeter{name: name})
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- server.Serve(listener)
	}()
	err = keepRegistered(ctx, out, client, name, listener.Addr().String())
	server.GracefulStop()
	return errors.Join(err, <-served)
}

// call makes one call and returns the name of the server that answered.
func call(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	var header metadata.MD
	_, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header), grpc.WaitForReady(true))
	if err != nil {
		return "", err
	}
	return header.Get("name")[0], nil
}
