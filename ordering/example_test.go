package ordering_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/ordering"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return ordering.ExampleCluster.Endpoints() }

// Serializable reads cost the cluster little. Here no read returns older data than an earlier read.
func ExampleNewKV() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	kv := ordering.NewKV(cli.KV, ordering.NewOrderViolationSwitchEndpointClosure(cli))

	ctx := context.TODO()
	if _, err := kv.Put(ctx, "example", "written"); err != nil {
		log.Fatal(err)
	}
	resp, err := kv.Get(ctx, "example", clientv3.WithSerializable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: written
}

// A program can fail a read at its first old answer.
func ExampleOrderViolationFunc() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	kv := ordering.NewKV(cli.KV, func(op clientv3.Op, _ clientv3.OpResponse, prevRev int64) error {
		return fmt.Errorf("%q read from a member that has not reached revision %d", op.KeyBytes(),
			prevRev)
	})

	_, err = kv.Get(context.TODO(), "example", clientv3.WithSerializable())
	fmt.Println(err)
	// Output: <nil>
}
