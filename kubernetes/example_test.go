package kubernetes_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return cluster.Endpoints() }

// A write that is guarded by an old revision fails, and can return the current value.
func ExampleInterface() {
	cli, err := kubernetes.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	created, err := cli.Kubernetes.OptimisticPut(ctx, "example/pod", []byte("pending"), 0,
		kubernetes.PutOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Kubernetes.OptimisticPut(ctx, "example/pod", []byte("running"),
		created.Revision, kubernetes.PutOptions{}); err != nil {
		log.Fatal(err)
	}
	late, err := cli.Kubernetes.OptimisticPut(ctx, "example/pod", []byte("failed"),
		created.Revision, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("succeeded: %t, it is %s\n", late.Succeeded, late.KV.Value)
	// Output: succeeded: false, it is running
}

// A list is read by pages, all at the revision of the first one.
func ExampleInterface_list() {
	cli, err := kubernetes.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, store := context.TODO(), cli.Kubernetes
	for _, name := range []string{"a", "b", "c"} {
		_, err := store.OptimisticPut(ctx, "nodes/"+name, []byte("ready"), 0,
			kubernetes.PutOptions{})
		if err != nil {
			log.Fatal(err)
		}
	}
	opts := kubernetes.ListOptions{Limit: 2}
	for {
		page, err := store.List(ctx, "nodes/", opts)
		if err != nil {
			log.Fatal(err)
		}
		for _, kv := range page.Kvs {
			fmt.Printf("%s ", kv.Key)
			opts.Continue = string(kv.Key) + "\x00"
		}
		fmt.Println("of", page.Count)
		if int64(len(page.Kvs)) == page.Count {
			break
		}
		opts.Revision = page.Revision
	}
	count, err := store.Count(ctx, "nodes/", kubernetes.CountOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(count, "in all")
	// Output:
	// nodes/a nodes/b of 3
	// nodes/c of 1
	// 3 in all
}

// A delete is guarded by the revision that was read.
func ExampleInterface_optimisticDelete() {
	cli, err := kubernetes.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()
	ctx, store := context.TODO(), cli.Kubernetes
	_, err = store.OptimisticPut(ctx, "jobs/a", []byte("done"), 0, kubernetes.PutOptions{})
	if err != nil {
		log.Fatal(err)
	}
	job, err := store.Get(ctx, "jobs/a", kubernetes.GetOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		deleted, err := store.OptimisticDelete(ctx, "jobs/a", job.KV.ModRevision,
			kubernetes.DeleteOptions{GetOnFailure: true})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("deleted:", deleted.Succeeded, "instead of it:", deleted.KV)
	}
	// Output:
	// deleted: true instead of it: <nil>
	// deleted: false instead of it: <nil>
}
