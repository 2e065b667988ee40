package etcdfake_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// A put takes effect, and its answer is lost. The client does not repeat the put, because it cannot
// know whether the put took effect.
func ExampleCluster_On() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		cluster.On(pb.KV_Put_FullMethodName, func(*etcdfake.Call) etcdfake.Action {
			return etcdfake.LoseAnswer(rpctypes.ErrGRPCTimeout)
		})
		_, err := client.Put(t.Context(), "k", "v")
		fmt.Println(err)
		fmt.Println(cluster.Dump("k"), cluster.Calls("Put"))
	}
	run(test)
	// Output:
	// etcdserver: request timed out
	// map[k:v] 1
}

// The answer to the first read is edited: it says that the key does not exist. The answers to later
// reads are not changed.
func ExampleTimes() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t)
		client := cluster.Client()
		if _, err := client.Put(t.Context(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		cluster.On("Range", etcdfake.Times(1, etcdfake.Edit(func(resp *pb.RangeResponse) {
			resp.Kvs, resp.Count = nil, 0
		})))
		for range 2 {
			resp, err := client.Get(t.Context(), "k")
			fmt.Println(resp.Count, err)
		}
	}
	run(test)
	// Output:
	// 0 <nil>
	// 1 <nil>
}

// The program under test makes its own client. It gets only the address of a member, which listens
// on a TCP port.
func ExampleCluster_Listen() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t)
		if err := program(t.Context(), cluster.Listen()); err != nil {
			t.Fatal(err)
		}
		fmt.Println(cluster.Dump("config/"))
	}
	runInRealTime(test)
	// Output:
	// map[config/mode:fast]
}

// program stands for the program under test.
func program(ctx context.Context, address string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{address}})
	if err != nil {
		return err
	}
	_, err = client.Put(ctx, "config/mode", "fast")
	return errors.Join(err, client.Close())
}
