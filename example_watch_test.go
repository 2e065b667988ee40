package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// This watch begins at the next revision after the revision of a Get. Thus the watch misses no
// change.
func ExampleWatcher_watch() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel() // ends the watch

	now, err := cli.Get(ctx, "watch/light")
	if err != nil {
		log.Fatal(err)
	}
	changes := cli.Watch(ctx, "watch/light", clientv3.WithRev(now.Header.Revision+1))
	if _, err := cli.Put(ctx, "watch/light", "on"); err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Delete(ctx, "watch/light"); err != nil {
		log.Fatal(err)
	}

	for seen := 0; seen < 2; {
		resp, ok := <-changes
		if err := resp.Err(); !ok || err != nil {
			log.Fatalf("the watch has ended: %v", err)
		}
		for _, ev := range resp.Events {
			fmt.Printf("%s %s %q\n", ev.Type, ev.Kv.Key, ev.Kv.Value)
			seen++
		}
	}
	// Output:
	// PUT watch/light "on"
	// DELETE watch/light ""
}

// WithPrefix watches all keys with a prefix; WithPrevKV adds the value before each change. The
// changes of one transaction come in one response.
func ExampleWatcher_prefix() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	if _, err := cli.Put(ctx, "prefix/a", "1"); err != nil {
		log.Fatal(err)
	}
	changes := cli.Watch(ctx, "prefix/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	_, err = cli.Txn(ctx).Then(clientv3.OpPut("prefix/a", "2"),
		clientv3.OpPut("prefix/b", "3")).Commit()
	if err != nil {
		log.Fatal(err)
	}

	resp := <-changes
	if err := resp.Err(); err != nil {
		log.Fatal(err)
	}
	for _, ev := range resp.Events {
		fmt.Printf("%s: %s, before %q\n", ev.Kv.Key, ev.Kv.Value, ev.PrevKv.GetValue())
	}
	// Output:
	// prefix/a: 2, before "1"
	// prefix/b: 3, before ""
}

// A progress notice names a revision up to which the watch has delivered all events. A cache that
// is fed by the watch is complete up to this revision.
func ExampleWatcher_progress() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	idle := cli.Watch(ctx, "progress/idle")
	put, err := cli.Put(ctx, "progress/other", "x")
	if err != nil {
		log.Fatal(err)
	}
	if err := cli.RequestProgress(ctx); err != nil {
		log.Fatal(err)
	}
	resp := <-idle
	if err := resp.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("progress:", resp.IsProgressNotify())
	fmt.Println("up to the put:", resp.Header.Revision >= put.Header.Revision)
	// Output:
	// progress: true
	// up to the put: true
}

// A watch from a compacted revision ends with ErrCompacted. The events that the watch missed are
// lost. Read the keys again, and begin a new watch at the revision after the revision of this read.
func ExampleWatcher_compacted() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	old, err := cli.Put(ctx, "compacted/key", "1")
	if err != nil {
		log.Fatal(err)
	}
	last, err := cli.Put(ctx, "compacted/key", "2")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Compact(ctx, last.Header.Revision); err != nil {
		log.Fatal(err)
	}

	changes := cli.Watch(ctx, "compacted/key", clientv3.WithRev(old.Header.Revision))
	resp := <-changes
	if errors.Is(resp.Err(), rpctypes.ErrCompacted) {
		list, err := cli.Get(ctx, "compacted/key")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("compacted; the value is now %s\n", list.Kvs[0].Value)
		changes = cli.Watch(ctx, "compacted/key", clientv3.WithRev(list.Header.Revision+1))
	}
	if _, err := cli.Put(ctx, "compacted/key", "3"); err != nil {
		log.Fatal(err)
	}
	resp = <-changes
	if err := resp.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", resp.Events[0].Type, resp.Events[0].Kv.Value)
	// Output:
	// compacted; the value is now 2
	// PUT 3
}
