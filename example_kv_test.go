package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func ExampleKV_put() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "put/colour", "green"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Put(ctx, "put/colour", "blue", clientv3.WithPrevKV())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("was %s\n", resp.PrevKv.Value)
	// Output: was green
}

// A program can compare an error that a server returned with the variables of package rpctypes.
func ExampleKV_putError() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	_, err = cli.Put(context.TODO(), "", "a key must not be empty")
	switch {
	case errors.Is(err, rpctypes.ErrEmptyKey):
		fmt.Println("no key:", err)
	case err != nil:
		log.Fatal(err)
	}
	// Output: no key: etcdserver: key is not provided
}

func ExampleKV_get() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "get/name", "gopher"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "get/name")
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s = %s\n", kv.Key, kv.Value)
	}
	// Output: get/name = gopher
}

// WithPrefix reads all keys with a prefix; WithSort orders them, here with the highest key first.
func ExampleKV_getSortedPrefix() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for i := range 3 {
		if _, err := cli.Put(ctx, fmt.Sprintf("sorted/%d", i), "value"); err != nil {
			log.Fatal(err)
		}
	}
	resp, err := cli.Get(ctx, "sorted/", clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s = %s\n", kv.Key, kv.Value)
	}
	// Output:
	// sorted/2 = value
	// sorted/1 = value
	// sorted/0 = value
}

// WithRev reads a past revision, unless it was compacted.
func ExampleKV_getWithRev() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	first, err := cli.Put(ctx, "rev/key", "old")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "rev/key", "new"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "rev/key", clientv3.WithRev(first.Header.Revision))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: old
}

// GetStream reads a range of any size in pieces. A caller that stops reading early must cancel the
// context.
func ExampleKV_getStream() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel()
	for i := range 50 {
		if _, err := cli.Put(ctx, fmt.Sprintf("stream/%02d", i), "value"); err != nil {
			log.Fatal(err)
		}
	}
	stream, err := cli.GetStream(ctx, "stream/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	keys := 0
	for piece := range stream {
		if err := piece.Err(); err != nil {
			log.Fatal(err)
		}
		keys += len(piece.Kvs)
	}
	fmt.Println(keys, "keys")
	// Output: 50 keys
}

func ExampleKV_delete() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, key := range []string{"delete/a", "delete/b"} {
		if _, err := cli.Put(ctx, key, "value"); err != nil {
			log.Fatal(err)
		}
	}
	resp, err := cli.Delete(ctx, "delete/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("deleted", resp.Deleted)
	// Output: deleted 2
}

// This transaction is a compare-and-swap: the value changes only if it still is the expected one.
func ExampleKV_txn() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "txn/counter", "41"); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		resp, err := cli.Txn(ctx).
			If(clientv3.Compare(clientv3.Value("txn/counter"), "=", "41")).
			Then(clientv3.OpPut("txn/counter", "42")).
			Else(clientv3.OpGet("txn/counter")).
			Commit()
		if err != nil {
			log.Fatal(err)
		}
		if resp.Succeeded {
			fmt.Println("swapped")
			continue
		}
		fmt.Printf("it is %s already\n", resp.Responses[0].GetResponseRange().Kvs[0].Value)
	}
	// Output:
	// swapped
	// it is 42 already
}

// Ops are values: one function can make them and another run them.
func ExampleKV_do() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	for _, op := range []clientv3.Op{
		clientv3.OpPut("do/key", "value"),
		clientv3.OpGet("do/key"),
		clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpDelete("do/key")}, nil),
	} {
		resp, err := cli.Do(context.TODO(), op)
		if err != nil {
			log.Fatal(err)
		}
		switch {
		case op.IsPut():
			fmt.Println("put, key was there:", resp.Put().PrevKv != nil)
		case op.IsGet():
			fmt.Println("get, keys:", resp.Get().Count)
		case op.IsTxn():
			fmt.Println("txn, deleted:", resp.Txn().Responses[0].GetResponseDeleteRange().Deleted)
		}
	}
	// Output:
	// put, key was there: false
	// get, keys: 1
	// txn, deleted: 1
}

// After a compaction, values that were overwritten before its revision cannot be read.
func ExampleKV_compact() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	old, err := cli.Put(ctx, "compact/key", "old")
	if err != nil {
		log.Fatal(err)
	}
	latest, err := cli.Put(ctx, "compact/key", "new")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Compact(ctx, latest.Header.Revision); err != nil {
		log.Fatal(err)
	}
	_, err = cli.Get(ctx, "compact/key", clientv3.WithRev(old.Header.Revision))
	fmt.Println(errors.Is(err, rpctypes.ErrCompacted))
	// Output: true
}
