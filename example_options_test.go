package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A range of any size can be read in pages. The later pages are read at the revision of the first
// page, so that all pages show one state of the keys.
func ExampleWithLimit() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for i := range 5 {
		if _, err := cli.Put(ctx, fmt.Sprintf("page/%d", i), "value"); err != nil {
			log.Fatal(err)
		}
	}
	first, rev := "page/", int64(0)
	for more := true; more; {
		page, err := cli.Get(ctx, first, clientv3.WithRange(clientv3.GetPrefixRangeEnd("page/")),
			clientv3.WithLimit(2), clientv3.WithRev(rev))
		if err != nil {
			log.Fatal(err)
		}
		for _, kv := range page.Kvs {
			fmt.Printf("%s ", kv.Key)
			first = string(kv.Key) + "\x00" // the next key there can be
		}
		rev, more = page.Header.Revision, page.More
		fmt.Println("more:", more)
	}
	// Output:
	// page/0 page/1 more: true
	// page/2 page/3 more: true
	// page/4 more: false
}

// WithFromKey covers the given key and all keys after it. WithRange covers the keys from the given
// one up to an end; the end itself is not covered.
func ExampleWithFromKey() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, key := range []string{"span/a", "span/b", "span/c"} {
		if _, err := cli.Put(ctx, key, "value"); err != nil {
			log.Fatal(err)
		}
	}
	span, err := cli.Get(ctx, "span/a", clientv3.WithRange("span/c"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from a to before c:", span.Count)
	rest, err := cli.Get(ctx, "span/c", clientv3.WithFromKey(), clientv3.WithLimit(1))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("from c on: %s\n", rest.Kvs[0].Key)
	// Output:
	// from a to before c: 2
	// from c on: span/c
}

// WithCountOnly gets only the number of keys. WithKeysOnly gets the keys without their values.
func ExampleWithCountOnly() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, key := range []string{"count/a", "count/b"} {
		if _, err := cli.Put(ctx, key, "a large value"); err != nil {
			log.Fatal(err)
		}
	}
	count, err := cli.Get(ctx, "count/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(count.Count, "keys,", len(count.Kvs), "sent")
	keys, err := cli.Get(ctx, "count/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range keys.Kvs {
		fmt.Printf("%s %q\n", kv.Key, kv.Value)
	}
	// Output:
	// 2 keys, 0 sent
	// count/a ""
	// count/b ""
}

// One member answers a serializable read from its own data. Such a read is cheap and needs no
// quorum, but the data can be a little old.
func ExampleWithSerializable() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "serializable", "value"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "serializable", clientv3.WithSerializable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: value
}

// A get can ask for one key of a prefix: the first or last by key, by creation or by modification.
func ExampleWithLastCreate() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, key := range []string{"place/b", "place/a", "place/c", "place/b"} {
		if _, err := cli.Put(ctx, key, "value"); err != nil {
			log.Fatal(err)
		}
	}
	for _, place := range []struct {
		name string
		opts []clientv3.OpOption
	}{
		{"lowest key", clientv3.WithFirstKey()},
		{"highest key", clientv3.WithLastKey()},
		{"created first", clientv3.WithFirstCreate()},
		{"created last", clientv3.WithLastCreate()},
		{"modified first", clientv3.WithFirstRev()},
		{"modified last", clientv3.WithLastRev()},
	} {
		resp, err := cli.Get(ctx, "place/", place.opts...)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", place.name, resp.Kvs[0].Key)
	}
	// Output:
	// lowest key: place/a
	// highest key: place/c
	// created first: place/b
	// created last: place/c
	// modified first: place/a
	// modified last: place/b
}

// A get can leave out keys by the revisions at which they were created and modified.
func ExampleWithMinModRev() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	old, err := cli.Put(ctx, "since/old", "value")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "since/new", "value"); err != nil {
		log.Fatal(err)
	}
	for _, bound := range []clientv3.OpOption{
		clientv3.WithMinModRev(old.Header.Revision + 1),
		clientv3.WithMaxModRev(old.Header.Revision),
		clientv3.WithMinCreateRev(old.Header.Revision + 1),
		clientv3.WithMaxCreateRev(old.Header.Revision),
	} {
		resp, err := cli.Get(ctx, "since/", clientv3.WithPrefix(), bound)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, of %d keys\n", resp.Kvs[0].Key, resp.Count)
	}
	// Output:
	// since/new, of 2 keys
	// since/old, of 2 keys
	// since/new, of 2 keys
	// since/old, of 2 keys
}

// A put can change the lease of a key and keep its value, or change its value and keep its lease.
// Such a put never creates the key.
func ExampleWithIgnoreValue() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "keep", "value"); err != nil {
		log.Fatal(err)
	}
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cli.Put(ctx, "keep", "", clientv3.WithIgnoreValue(), clientv3.WithLease(lease.ID))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "keep", "other", clientv3.WithIgnoreLease()); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "keep")
	if err != nil {
		log.Fatal(err)
	}
	kv := resp.Kvs[0]
	fmt.Printf("%s, with the lease: %t\n", kv.Value, kv.Lease == int64(lease.ID))
	_, err = cli.Put(ctx, "no such key", "", clientv3.WithIgnoreValue())
	fmt.Println(errors.Is(err, rpctypes.ErrKeyNotFound))
	// Output:
	// other, with the lease: true
	// true
}

// GetStreamToGetResponse puts the pieces that a GetStream returns into one response.
func ExampleGetStreamToGetResponse() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, key := range []string{"pieces/a", "pieces/b"} {
		if _, err := cli.Put(ctx, key, "value"); err != nil {
			log.Fatal(err)
		}
	}
	stream, err := cli.GetStream(ctx, "pieces/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	resp, err := clientv3.GetStreamToGetResponse(stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(resp.Kvs), "of", resp.Count)
	// Output: 2 of 2
}
