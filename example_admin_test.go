package clientv3_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// This program adds a user who may read and write the keys that begin with "app/".
func ExampleAuth() {
	// its own server, because authentication concerns all clients of a server
	cluster, err := etcdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	ctx := context.TODO()
	admin, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer admin.Close()

	readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
	for _, step := range []func() error{
		func() error { _, err := admin.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "app", "app/",
				clientv3.GetPrefixRangeEnd("app/"), readWrite)
			return err
		},
		func() error { _, err := admin.UserAdd(ctx, "alice", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "alice", "app"); return err },
		func() error { _, err := admin.UserAdd(ctx, "root", "very secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}

	alice, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: "alice",
		Password: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	_, err = alice.Put(ctx, "app/colour", "green")
	fmt.Println("own key:", err)
	_, err = alice.Put(ctx, "other", "green")
	fmt.Println("another's:", err == rpctypes.ErrPermissionDenied)
	// Output:
	// own key: <nil>
	// another's: true
}

func ExampleCluster_memberList() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	resp, err := cli.MemberList(context.TODO())
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range resp.Members {
		fmt.Println(m.Name, "learner:", m.IsLearner)
	}
	// Output: m0 learner: false
}

func ExampleMaintenance_status() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	for _, endpoint := range cli.Endpoints() {
		resp, err := cli.Status(context.TODO(), endpoint)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("leads:", resp.Leader == resp.Header.MemberId, "alarms:", resp.Errors)
	}
	// Output: leads: true alarms: []
}

// A snapshot ends with 32 bytes of checksum; package snapshot saves one to a file and verifies it.
func ExampleMaintenance_snapshotWithVersion() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	resp, err := cli.SnapshotWithVersion(context.TODO())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Snapshot.Close()
	size, err := io.Copy(io.Discard, resp.Snapshot)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size%512, "bytes more than whole sectors")
	// Output: 32 bytes more than whole sectors
}
