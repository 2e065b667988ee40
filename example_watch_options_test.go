package clientv3_test

import (
	"context"
	"fmt"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A watch can leave out puts, or deletes.
func ExampleWithFilterPut() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	deletes := cli.Watch(ctx, "filter", clientv3.WithFilterPut())
	puts := cli.Watch(ctx, "filter", clientv3.WithFilterDelete())
	if _, err := cli.Put(ctx, "filter", "value"); err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Delete(ctx, "filter"); err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-deletes).Events[0].Type, (<-puts).Events[0].Type)
	// Output: DELETE PUT
}

// The first response of this watch comes when a server has confirmed it.
func ExampleWithCreatedNotify() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	changes := cli.Watch(ctx, "created", clientv3.WithCreatedNotify())
	fmt.Println((<-changes).Created)
	// Output: true
}

// WithFragment lets a server split a response that is too large for one message. The client puts
// the fragments together.
func ExampleWithFragment() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	changes := cli.Watch(ctx, "fragment/", clientv3.WithPrefix(), clientv3.WithFragment(),
		clientv3.WithProgressNotify())
	_, err = cli.Txn(ctx).Then(clientv3.OpPut("fragment/a", "1"),
		clientv3.OpPut("fragment/b", "2")).Commit()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len((<-changes).Events), "events in one response")
	// Output: 2 events in one response
}

// A watch with a slow reader keeps few responses in the client. The other events wait on the
// server.
func ExampleWithWatchBuffer() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	changes := cli.Watch(ctx, "buffer", clientv3.WithWatchBuffer(64<<10, 2),
		clientv3.WithWatchBufLog())
	for i := range 10 {
		if _, err := cli.Put(ctx, "buffer", fmt.Sprint(i)); err != nil {
			log.Fatal(err)
		}
	}
	events := 0
	for events < 10 {
		events += len((<-changes).Events)
	}
	fmt.Println(events, "events")
	// Output: 10 events
}
