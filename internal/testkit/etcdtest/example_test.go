package etcdtest_test

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func ExampleNew() {
	cluster, err := etcdtest.New(etcdtest.WithMembers(3))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cluster.Close() }()

	lost := cluster.Leader()
	lost.Kill()
	leader, err := cluster.WaitLeader(context.Background())
	fmt.Println("another one leads:", err == nil && leader != lost)
	fmt.Println("restarted:", lost.Restart() == nil)
	// Output:
	// another one leads: true
	// restarted: true
}
