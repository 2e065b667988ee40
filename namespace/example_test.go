package namespace_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return cluster.Endpoints() }

// A client whose KV is a namespace does not see the prefix.
func Example() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	plain := cli.KV
	cli.KV = namespace.NewKV(cli.KV, "app/")
	cli.Watcher = namespace.NewWatcher(cli.Watcher, "app/")
	cli.Lease = namespace.NewLease(cli.Lease, "app/")

	ctx := context.TODO()
	changes := cli.Watch(ctx, "colour")
	if _, err := cli.Put(ctx, "colour", "green"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("inside: %s\n", (<-changes).Events[0].Kv.Key)
	resp, err := plain.Get(ctx, "app/colour")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("outside: %s\n", resp.Kvs[0].Key)
	// Output:
	// inside: colour
	// outside: app/colour
}
