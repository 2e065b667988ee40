package endpoints_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return shared.Endpoints() }

// A server registers itself for as long as its lease lives.
func ExampleManager() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel()

	lease, err := cli.Grant(ctx, 10)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.KeepAlive(ctx, lease.ID); err != nil {
		log.Fatal(err)
	}
	mail, err := endpoints.NewManager(cli, "mail")
	if err != nil {
		log.Fatal(err)
	}
	self := endpoints.Endpoint{Addr: "10.0.0.1:25", Metadata: "rack 7"}
	if err := mail.AddEndpoint(ctx, "mail/"+self.Addr, self,
		clientv3.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}

	all, err := mail.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for key, ep := range all {
		fmt.Println(key, "is", ep.Addr, "in", ep.Metadata)
	}
	// Output: mail/10.0.0.1:25 is 10.0.0.1:25 in rack 7
}

func ExampleManager_newWatchChannel() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel()

	web, err := endpoints.NewManager(cli, "web")
	if err != nil {
		log.Fatal(err)
	}
	if err := web.AddEndpoint(ctx, "web/a", endpoints.Endpoint{Addr: "10.0.0.1:80"}); err != nil {
		log.Fatal(err)
	}
	changes, err := web.NewWatchChannel(ctx)
	if err != nil {
		log.Fatal(err)
	}
	known := <-changes
	fmt.Println("known:", known[0].Key, known[0].Endpoint.Addr)

	if err := web.DeleteEndpoint(ctx, "web/a"); err != nil {
		log.Fatal(err)
	}
	for _, change := range <-changes {
		fmt.Println("deleted:", change.Op == endpoints.Delete, change.Key)
	}
	// Output:
	// known: web/a 10.0.0.1:80
	// deleted: true web/a
}

// Update makes all updates in one transaction. If a new server replaces an old one, clients see
// either the old or the new server, never both or none.
func ExampleManager_update() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	files, err := endpoints.NewManager(cli, "files")
	if err != nil {
		log.Fatal(err)
	}
	old := endpoints.Endpoint{Addr: "10.0.0.1:80"}
	if err := files.AddEndpoint(ctx, "files/old", old); err != nil {
		log.Fatal(err)
	}
	err = files.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewDeleteUpdateOpts("files/old"),
		endpoints.NewAddUpdateOpts("files/new", endpoints.Endpoint{Addr: "10.0.0.2:80"}),
	})
	if err != nil {
		log.Fatal(err)
	}
	all, err := files.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(all), all["files/new"].Addr)
	// Output: 1 10.0.0.2:80
}
