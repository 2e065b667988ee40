package etcdfake_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// The process that holds a lock freezes, so it does not renew its lease. When the lease has
// expired, after a virtual minute, another session gets the lock.
func Example_lockWhoseHolderFreezes() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t)
		holder := lock(t, cluster.Client())

		cluster.On("LeaseKeepAlive", func(call *etcdfake.Call) etcdfake.Action {
			if call.Request.(*pb.LeaseKeepAliveRequest).ID == int64(holder.Lease()) {
				<-call.Context().Done()
			}
			return etcdfake.Pass()
		})
		start := time.Now()
		next := lock(t, cluster.Client())
		fmt.Println("another one has the lock:", next.Lease() != holder.Lease())
		fmt.Println("after", time.Since(start).Round(time.Second))
	}
	run(test)
	// Output:
	// another one has the lock: true
	// after 1m0s
}

func lock(t *testing.T, client *clientv3.Client) *concurrency.Session {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	if err != nil {
		t.Fatal(err)
	}
	if err := concurrency.NewMutex(session, "lock").Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	return session
}

// A leader stops and does not delete its key. The key is deleted when the leader's lease expires,
// after 60 seconds of virtual time. Then another client becomes the leader.
func Example_leadershipThatMoves() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t)
		first, second := cluster.Client(), cluster.Client()
		lease, err := first.Grant(t.Context(), 60)
		if err != nil {
			t.Fatal(err)
		}
		_, err = first.Put(t.Context(), "leader", "first", clientv3.WithLease(lease.ID))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for resp := range second.Watch(t.Context(), "leader") {
			if resp.Events[0].Type == clientv3.EventTypeDelete {
				break
			}
		}
		if _, err := second.Put(t.Context(), "leader", "second"); err != nil {
			t.Fatal(err)
		}
		fmt.Println(cluster.Dump("leader"), "after", time.Since(start))
	}
	run(test)
	// Output:
	// map[leader:second] after 1m0s
}

// A watch has no connection while the keyspace is compacted. Some of its events are lost, so the
// watch ends with an error that has the compact revision.
func ExampleCluster_Compact() {
	test := func(t *testing.T) {
		cluster := etcdfake.New(t, etcdfake.WithMembers(2))
		client := cluster.Client(func(cfg *clientv3.Config) {
			cfg.Endpoints = []string{cluster.Member(0).Endpoint()}
		})
		watch := client.Watch(t.Context(), "k")
		synctest.Wait() // the watch is there
		cluster.Member(0).Stop()

		// While the client's member is stopped, another member takes changes that the client's
		// watch will never deliver.
		other := cluster.Client(func(cfg *clientv3.Config) {
			cfg.Endpoints = []string{cluster.Member(1).Endpoint()}
		})
		for _, value := range []string{"1", "2"} {
			if _, err := other.Put(t.Context(), "k", value); err != nil {
				t.Fatal(err)
			}
		}
		cluster.Compact(cluster.Revision())
		cluster.Member(0).Start()

		resp := <-watch
		fmt.Println(resp.Err(), resp.CompactRevision)
	}
	run(test)
	// Output:
	// etcdserver: mvcc: required revision has been compacted 3
}
