package clientv3_test

import (
	"context"
	"fmt"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return clientv3.ExampleCluster.Endpoints() }

// exampleServer starts a server that only one example uses.
func exampleServer() (endpoints []string, stop func()) { return clientv3.StartExampleServer() }

// A program makes one client and sets a deadline for each call.
func Example() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := cli.Put(ctx, "greeting", "hello"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "greeting")
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s = %s\n", kv.Key, kv.Value)
	}
	// Output: greeting = hello
}

// New does not wait for a connection. A call that gets no connection in time returns the error of
// its context; ConnectionError returns the cause.
func ExampleNew() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix:/no/server/here"}})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = cli.Get(ctx, "greeting")
	fmt.Println("in time:", err != context.DeadlineExceeded)
	fmt.Println("cause known:", cli.ConnectionError() != nil)

	_, err = clientv3.New(clientv3.Config{Endpoints: []string{"ftp://host"}})
	fmt.Println(err)
	// Output:
	// in time: false
	// cause known: true
	// etcdclient: endpoint "ftp://host": unknown scheme "ftp", want http, https, unix or unixs
}

// Calls of a closed client fail with an error that IsConnCanceled recognizes.
func ExampleIsConnCanceled() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	if err := cli.Close(); err != nil {
		log.Fatal(err)
	}
	_, err = cli.Get(context.TODO(), "greeting")
	fmt.Println("closed:", clientv3.IsConnCanceled(err))
	// Output: closed: true
}
