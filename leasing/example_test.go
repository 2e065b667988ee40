package leasing_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return leasing.SharedEndpoints() }

// The reader answers repeated reads of a key from its cache, until the writer changes the key. Both
// use the same prefix for their lease keys, which mark who caches a key.
func ExampleNewKV() {
	var readers, writers *clientv3.Client
	for _, cli := range []**clientv3.Client{&readers, &writers} {
		var err error
		if *cli, err = clientv3.New(clientv3.Config{
			Endpoints: exampleEndpoints()}); err != nil {
			log.Fatal(err)
		}
		defer (*cli).Close()
	}
	reader, stopReader, err := leasing.NewKV(readers, "leasing/", concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	defer stopReader()
	writer, stopWriter, err := leasing.NewKV(writers, "leasing/", concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	defer stopWriter()

	ctx := context.TODO()
	for _, limit := range []string{"100", "200"} {
		if _, err := writer.Put(ctx, "config/limit", limit); err != nil {
			log.Fatal(err)
		}
		for range 10000 { // almost all are answered from the cache
			resp, err := reader.Get(ctx, "config/limit")
			if err != nil {
				log.Fatal(err)
			}
			if string(resp.Kvs[0].Value) != limit {
				log.Fatalf("read %s instead of %s", resp.Kvs[0].Value, limit)
			}
		}
		fmt.Println("always", limit)
	}
	// Output:
	// always 100
	// always 200
}
