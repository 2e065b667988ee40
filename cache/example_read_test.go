package cache_test

import (
	"context"
	"fmt"
	"log"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
)

// An Update reads from memory and commits in one transaction. If another client has changed a key
// that the function has read, Update runs the function again.
func ExampleCache_Update() {
	cli := connect()
	defer cli.Close()
	put(cli, "accounts/ada", "70")
	put(cli, "accounts/bob", "30")

	c, err := cache.New(cli, "accounts/")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	transfer := func(from, to string, amount int) error {
		_, err := c.Update(ctx, func(tx *cache.Tx) error {
			balance := func(name string) int {
				kv, _ := tx.Get("accounts/" + name)
				n, _ := strconv.Atoi(string(kv.GetValue()))
				return n
			}
			if balance(from) < amount {
				return fmt.Errorf("%s has less than %d", from, amount)
			}
			tx.Put("accounts/"+from, strconv.Itoa(balance(from)-amount))
			tx.Put("accounts/"+to, strconv.Itoa(balance(to)+amount))
			return nil
		})
		return err
	}
	fmt.Println(transfer("ada", "bob", 50))
	fmt.Println(transfer("ada", "bob", 50))

	// The cache shows a commit when Update returns.
	for kv := range c.Snapshot().All() {
		fmt.Printf("%s %s\n", kv.Key, kv.Value)
	}
	// Output:
	// <nil>
	// ada has less than 50
	// accounts/ada 20
	// accounts/bob 80
}

// Code that is written for a clientv3.KV reads from memory if it gets the KV of a cache.
func ExampleCache_KV() {
	cli := connect()
	defer cli.Close()
	put(cli, "limits/requests", "100")
	put(cli, "limits/users", "20")

	// existing knows nothing of caches.
	existing := func(ctx context.Context, kv clientv3.KV) {
		if _, err := kv.Put(ctx, "limits/users", "25"); err != nil {
			log.Fatal(err)
		}
		resp, err := kv.Get(ctx, "limits/", clientv3.WithPrefix(),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
		if err != nil {
			log.Fatal(err)
		}
		for _, kv := range resp.Kvs {
			fmt.Printf("%s %s\n", kv.Key, kv.Value)
		}
	}

	c, err := cache.New(cli, "limits/")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	existing(context.Background(), c.KV())
	// Output:
	// limits/users 25
	// limits/requests 100
}
