package kubernetes_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// A write that comes too late is told what is there instead.
func ExampleInterface() {
	cli, err := kubernetes.New(clientv3.Config{Endpoints: cluster.Endpoints()})
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
