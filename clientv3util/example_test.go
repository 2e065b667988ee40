package clientv3util_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return endpoints() }

func ExampleKeyMissing() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	// Only the first transaction creates the key.
	for _, name := range []string{"alice", "bob"} {
		resp, err := cli.Txn(context.TODO()).
			If(clientv3util.KeyMissing("owner")).
			Then(clientv3.OpPut("owner", name)).
			Commit()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, resp.Succeeded)
	}
	// Output:
	// alice true
	// bob false
}

func ExampleKeyExists() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	// A key is updated, but never created.
	resp, err := cli.Txn(context.TODO()).
		If(clientv3util.KeyExists("no such key")).
		Then(clientv3.OpPut("no such key", "new value")).
		Commit()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("updated:", resp.Succeeded)
	// Output: updated: false
}
