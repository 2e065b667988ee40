package concurrency_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func exampleEndpoints() []string { return concurrency.SharedEndpoints() }

// Keys attached to the session's lease live as long as the session.
func ExampleNewSession() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	s, err := concurrency.NewSession(cli, concurrency.WithTTL(10))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.TODO()
	if _, err := cli.Put(ctx, "instances/a", "10.0.0.1",
		clientv3.WithLease(s.Lease())); err != nil {
		log.Fatal(err)
	}
	count := func() int64 {
		resp, err := cli.Get(ctx, "instances/", clientv3.WithPrefix())
		if err != nil {
			log.Fatal(err)
		}
		return resp.Count
	}
	fmt.Println("open:", count())
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("closed:", count())
	fmt.Println(context.Cause(s.Ctx()))
	// Output:
	// open: 1
	// closed: 0
	// mutex: session is expired: closed
}

// Only the holder of the lock writes. IsOwner is a condition of its transaction, so that a holder
// that has lost the lock and does not know it yet writes nothing.
func ExampleMutex_Lock() {
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
	m := concurrency.NewMutex(s, "locks/report")
	if err := m.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	write := func(val string) {
		resp, err := cli.Txn(ctx).If(m.IsOwner()).Then(clientv3.OpPut("report", val)).Commit()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %v\n", val, resp.Succeeded)
	}
	write("while the lock is held")
	if err := m.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	write("after its release")
	// Output:
	// while the lock is held: true
	// after its release: false
}

func ExampleMutex_TryLock() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	// Mutexes of one session share one key, so each worker has a session of its own.
	var workers [2]*concurrency.Mutex
	for i := range workers {
		s, err := concurrency.NewSession(cli)
		if err != nil {
			log.Fatal(err)
		}
		defer s.Close()
		workers[i] = concurrency.NewMutex(s, "locks/job")
	}

	ctx := context.TODO()
	fmt.Println("first:", workers[0].TryLock(ctx))
	err = workers[1].TryLock(ctx)
	fmt.Println("second:", err, errors.Is(err, concurrency.ErrLocked))
	if err := workers[0].Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("second:", workers[1].TryLock(ctx))
	// Output:
	// first: <nil>
	// second: mutex: Locked by another session true
	// second: <nil>
}

// Some work under a lock is not a transaction, so IsOwner cannot be its condition. Such work uses
// the mutex's context, which ends when the lock may be lost.
func ExampleMutex_Ctx() {
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

	m := concurrency.NewMutex(s, "locks/printer")
	if err := m.Lock(context.TODO()); err != nil {
		log.Fatal(err)
	}
	work := m.Ctx()
	fmt.Println("working:", work.Err() == nil)

	// An operator ends the session of a holder that hangs.
	if _, err := cli.Revoke(context.TODO(), s.Lease()); err != nil {
		log.Fatal(err)
	}
	<-work.Done()
	fmt.Println("stopped:", work.Err())
	// Output:
	// working: true
	// stopped: context canceled
}

func ExampleElection_Campaign() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	elect := func(name string) *concurrency.Election {
		s, err := concurrency.NewSession(cli)
		if err != nil {
			log.Fatal(err)
		}
		e := concurrency.NewElection(s, "elections/scheduler")
		if err := e.Campaign(context.TODO(), name); err != nil {
			log.Fatal(err)
		}
		return e
	}
	for _, name := range []string{"alice", "bob"} {
		e := elect(name)
		leader, err := e.Leader(context.TODO())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s leads\n", leader.Kvs[0].Value)
		if err := e.Resign(context.TODO()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// alice leads
	// bob leads
}

func ExampleElection_Observe() {
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

	ctx, cancel := context.WithCancel(context.TODO())
	defer cancel() // ends the observation
	e := concurrency.NewElection(s, "elections/primary")
	leaders := e.Observe(ctx)
	if err := e.Campaign(ctx, "on port 5432"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", (<-leaders).Kvs[0].Value)
	if err := e.Proclaim(ctx, "on port 5433"); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", (<-leaders).Kvs[0].Value)
	// Output:
	// on port 5432
	// on port 5433
}
