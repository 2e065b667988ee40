package mockserver_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mock/mockserver"
)

// A client with two endpoints goes on when one of them is stopped.
func Example() {
	servers, err := mockserver.StartMockServers(2)
	if err != nil {
		log.Fatal(err)
	}
	defer servers.Stop()
	cli, err := clientv3.New(clientv3.Config{
		Endpoints: []string{servers.Servers[0].Address, servers.Servers[1].Address}})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	servers.StopAt(0)
	_, err = cli.Get(context.TODO(), "key")
	fmt.Println("error:", err)
	// Output: error: <nil>
}

// A server comes back on the address that it had.
func ExampleMockServers_startAt() {
	servers, err := mockserver.StartMockServersOnNetwork(1, "unix")
	if err != nil {
		log.Fatal(err)
	}
	defer servers.Stop()
	servers.StopAt(0)
	if err := servers.StartAt(0); err != nil {
		log.Fatal(err)
	}
	server := servers.Servers[0]
	fmt.Println("same address:", server.ResolverAddress().Addr != "", server.Network)
	// Output: same address: true unix
}
