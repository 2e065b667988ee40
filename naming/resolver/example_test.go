package resolver_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return shared.Endpoints() }

// A gRPC service is found by its name.
func ExampleNewBuilder() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx := context.TODO()

	// The server's side: start the service, and add its address to the name "greeter".
	addr, stop, err := serve()
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	greeters, err := endpoints.NewManager(cli, "greeter")
	if err != nil {
		log.Fatal(err)
	}
	if err := greeters.AddEndpoint(ctx, "greeter/1", endpoints.Endpoint{Addr: addr}); err != nil {
		log.Fatal(err)
	}

	// The client's side: it only knows the name.
	etcd, err := resolver.NewBuilder(cli)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient("etcd:///greeter",
		grpc.WithResolvers(etcd),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	// Output: SERVING
}
