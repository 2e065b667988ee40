package mirror_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mirror"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return cluster.Endpoints() }

// A Syncer first delivers the existing keys, and then the changes.
func ExampleSyncer() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx := context.TODO()
	if _, err := cli.Put(ctx, "example/colour", "green"); err != nil {
		log.Fatal(err)
	}

	s := mirror.NewSyncer(cli, "example/", 0)
	pages, errs := s.SyncBase(ctx)
	for page := range pages {
		for _, kv := range page.Kvs {
			fmt.Printf("there is %s: %s\n", kv.Key, kv.Value)
		}
	}
	if err := <-errs; err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "example/colour", "blue"); err != nil {
		log.Fatal(err)
	}
	resp := <-s.SyncUpdates(ctx)
	if err := resp.Err(); err != nil {
		log.Fatal(err)
	}
	for _, event := range resp.Events {
		fmt.Printf("%s %s: %s\n", event.Type, event.Kv.Key, event.Kv.Value)
	}
	// Output:
	// there is example/colour: green
	// PUT example/colour: blue
}
