// Command discovery is a gRPC service whose clients find its servers in etcd. Start servers with
// the flag -serve and a name, and a client without the flag. Set ETCD_ENDPOINTS to the same etcd
// servers for all of them:
//
//	go run ./examples/discovery -serve a
//	go run ./examples/discovery
//
// With -demo, one process runs two servers and a client. One server loses its lease, and the other
// one stops.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
	"go.etcd.io/etcd/client/v3/naming/resolver"
)

// service is the target that clients dial. The servers' endpoints in etcd have keys below it.
const service = "examples/greeter"

var name = flag.String("serve", "", "serve under this name, instead of calling")

func main() { demo.Main(run, comeAndGo) }

// run runs a server, if the flag -serve is set, or calls the service every second. It returns when
// ctx ends.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	if *name != "" {
		return serve(ctx, out, client, *name)
	}
	conn, err := dial(client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for {
		from, err := call(ctx, conn)
		if err != nil && ctx.Err() == nil {
			return err
		}
		fmt.Fprintln(out, "answer from", from)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// dial makes a connection to the service. Calls go in turn to all servers that are in etcd at the
// time of the call. The client must stay open as long as the connection.
func dial(client *clientv3.Client) (*grpc.ClientConn, error) {
	etcd, err := resolver.NewBuilder(client)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient("etcd:///"+service,
		grpc.WithResolvers(etcd),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
}
