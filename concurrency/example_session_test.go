package concurrency_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// A process that is replaced leaves its lease to its successor, with the keys that are attached to
// it.
func ExampleSession_Orphan() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	old, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.TODO()
	_, err = cli.Put(ctx, "handover/port", "5432", clientv3.WithLease(old.Lease()))
	if err != nil {
		log.Fatal(err)
	}
	old.Orphan()
	<-old.Done()

	successor, err := concurrency.NewSession(cli, concurrency.WithLease(old.Lease()))
	if err != nil {
		log.Fatal(err)
	}
	defer successor.Close()
	resp, err := cli.Get(ctx, "handover/port")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, kept by the successor: %t\n", resp.Kvs[0].Value,
		resp.Kvs[0].Lease == int64(successor.Lease()))
	// Output: 5432, kept by the successor: true
}

// When the context ends, the session ends. A call of NewSession that still waits returns. The
// session's lease is not revoked then, and expires later.
func ExampleWithContext() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx, cancel := context.WithCancel(context.Background())
	s, err := concurrency.NewSession(cli, concurrency.WithContext(ctx))
	if err != nil {
		log.Fatal(err)
	}
	cancel()
	<-s.Done()
	resp, err := s.Client().TimeToLive(context.TODO(), s.Lease())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the lease lives on:", resp.TTL > 0)
	// Output: the lease lives on: true
}

// A program's own recipe has put a key on the session's lease, and does not know whether the put
// was applied. Discard deletes the key if it exists.
func ExampleSession_Discard() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	s, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx := context.TODO()
	deleted := cli.Watch(ctx, "ticket", clientv3.WithFilterPut())
	_, err = cli.Put(ctx, "ticket", "", clientv3.WithLease(s.Lease()))
	if err != nil {
		log.Fatal(err)
	}
	// Here the put has succeeded. A recipe would call Discard after a put with an unknown outcome.
	s.Discard("ticket", 0)
	fmt.Println((<-deleted).Events[0].Type)
	// Output: DELETE
}

// NewLocker makes a Mutex usable as a sync.Locker. Where the Mutex would return an error, the
// sync.Locker panics.
func ExampleNewLocker() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	s, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	l := concurrency.NewLocker(s, "locks/locker")
	l.Lock()
	defer l.Unlock()
	fmt.Println("locked")
	// Output: locked
}

// A program that leads restarts. It is still the leader, unless its lease has expired meanwhile.
func ExampleResumeElection() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	before, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.TODO()
	e := concurrency.NewElection(before, "elections/resumed")
	if err := e.Campaign(ctx, "first run"); err != nil {
		log.Fatal(err)
	}
	key, rev, lease := e.Key(), e.Rev(), before.Lease() // written to a file, say
	before.Orphan()

	after, err := concurrency.NewSession(cli, concurrency.WithLease(lease))
	if err != nil {
		log.Fatal(err)
	}
	defer after.Close()
	e = concurrency.ResumeElection(after, "elections/resumed", key, rev)
	if err := e.Proclaim(ctx, "second run"); err != nil {
		log.Fatal(err)
	}
	leader, err := e.Leader(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, in revision order: %t\n", leader.Kvs[0].Value, e.Header().Revision > rev)
	// Output: second run, in revision order: true
}

// Header has the revision at which the lock was acquired. Reads and watches can start from it.
func ExampleMutex_Header() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	s, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	m := concurrency.NewMutex(s, "locks/header")
	if err := m.Lock(context.TODO()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("held since:", m.Header().Revision >= m.Rev())
	// Output: held since: true
}
