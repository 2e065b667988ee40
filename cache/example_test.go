package cache_test

import (
	"context"
	"fmt"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
)

func connect() *clientv3.Client {
	cli, err := clientv3.New(clientv3.Config{Endpoints: cache.ExampleCluster.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	return cli
}

func put(cli *clientv3.Client, key, value string) (revision int64) {
	resp, err := cli.Put(context.TODO(), key, value)
	if err != nil {
		log.Fatal(err)
	}
	return resp.Header.Revision
}

// A program often reads its configuration, which changes now and then. A read from the snapshot
// costs no request. Fresh returns a snapshot that is as new as the caller needs: with every write
// before the call, or at most some seconds old.
func Example_configuration() {
	cli := connect()
	defer cli.Close()
	put(cli, "config/colour", "green")

	config, err := cache.New(cli, "config/")
	if err != nil {
		log.Fatal(err)
	}
	defer config.Close()
	ctx, cancel := context.WithTimeout(context.TODO(), 10*time.Second)
	defer cancel()
	if err := config.WaitSynced(ctx); err != nil {
		log.Fatal(err) // the error says what WaitSynced was waiting for
	}
	if kv, ok := config.Snapshot().Get("config/colour"); ok {
		fmt.Printf("from memory: %s\n", kv.Value)
	}

	put(cli, "config/colour", "blue")
	snap, err := config.Fresh(ctx, 0) // as current as a linearizable read
	if err != nil {
		log.Fatal(err)
	}
	kv, _ := snap.Get("config/colour")
	fmt.Printf("for certain: %s\n", kv.Value)
	// Output:
	// from memory: green
	// for certain: blue
}

// A program keeps the addresses of a service: all of them first, and then what changes. The loop
// goes on through outages and compactions.
func ExampleCache_Changes() {
	cli := connect()
	defer cli.Close()
	put(cli, "service/web/1", "10.0.0.1")
	put(cli, "service/web/2", "10.0.0.2")

	services, err := cache.New(cli, "service/web/")
	if err != nil {
		log.Fatal(err)
	}
	defer services.Close()
	ctx, cancel := context.WithTimeout(context.TODO(), 10*time.Second)
	defer cancel()
	for batch, err := range services.Changes(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for _, ch := range batch.Changes {
			switch {
			case ch.Old == nil:
				fmt.Printf("added %s\n", ch.New.Value)
			case ch.New == nil:
				fmt.Printf("removed %s\n", ch.Old.Value)
			default:
				fmt.Printf("changed %s to %s\n", ch.Old.Value, ch.New.Value)
			}
		}
		if !batch.Full {
			break
		}
		if _, err := cli.Delete(ctx, "service/web/1"); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// added 10.0.0.1
	// added 10.0.0.2
	// removed 10.0.0.1
}

// A write returns a revision. With it, AtLeast returns a snapshot that contains the write.
func ExampleCache_AtLeast() {
	cli := connect()
	defer cli.Close()
	jobs, err := cache.New(cli, "jobs/")
	if err != nil {
		log.Fatal(err)
	}
	defer jobs.Close()
	ctx, cancel := context.WithTimeout(context.TODO(), 10*time.Second)
	defer cancel()
	revision := put(cli, "jobs/1", "mop")
	put(cli, "jobs/2", "dust")

	snap, err := jobs.AtLeast(ctx, revision)
	if err != nil {
		log.Fatal(err)
	}
	first, _ := snap.Get("jobs/1")
	fmt.Printf("%s\n", first.Value)
	// Output: mop
}

// A snapshot is a state that never changes.
func ExampleSnapshot() {
	cli := connect()
	defer cli.Close()
	put(cli, "fruit/apple", "red")
	put(cli, "fruit/banana", "yellow")
	fruit, err := cache.New(cli, "fruit/")
	if err != nil {
		log.Fatal(err)
	}
	defer fruit.Close()
	ctx, cancel := context.WithTimeout(context.TODO(), 10*time.Second)
	defer cancel()
	snap, err := fruit.Fresh(ctx, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	put(cli, "fruit/apple", "green") // the snapshot does not change
	for kv := range snap.Prefix("fruit/") {
		fmt.Printf("%s is %s\n", kv.Key, kv.Value)
	}
	fmt.Println(snap.Len(), "keys")
	// Output:
	// fruit/apple is red
	// fruit/banana is yellow
	// 2 keys
}
