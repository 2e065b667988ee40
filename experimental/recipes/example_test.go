package recipe_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// exampleEndpoints returns the endpoints of the server that all examples share.
func exampleEndpoints() []string { return recipe.SharedEndpoints() }

func connect() *clientv3.Client {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	return cli
}

func ExampleBarrier() {
	cli := connect()
	defer cli.Close()

	b := recipe.NewBarrier(cli, "example/maintenance")
	if err := b.Hold(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Hold())
	if err := b.Release(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Wait())
	// Output:
	// key already exists
	// <nil>
}

func ExampleDoubleBarrier() {
	cli := connect()
	defer cli.Close()

	var wg sync.WaitGroup
	for range 3 {
		s, err := concurrency.NewSession(cli)
		if err != nil {
			log.Fatal(err)
		}
		defer s.Close()
		wg.Go(func() {
			b := recipe.NewDoubleBarrier(s, "example/computation", 3)
			if err := b.Enter(); err != nil {
				log.Fatal(err)
			}
			// All three have come.
			if err := b.Leave(); err != nil {
				log.Fatal(err)
			}
		})
	}
	wg.Wait()
	fmt.Println("all done")
	// Output: all done
}

func ExampleQueue() {
	cli := connect()
	defer cli.Close()

	q := recipe.NewQueue(cli, "example/jobs")
	for _, job := range []string{"wash", "dry"} {
		if err := q.Enqueue(job); err != nil {
			log.Fatal(err)
		}
	}
	for range 2 {
		job, err := q.Dequeue()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job)
	}
	// Output:
	// wash
	// dry
}

func ExamplePriorityQueue() {
	cli := connect()
	defer cli.Close()

	q := recipe.NewPriorityQueue(cli, "example/urgent jobs")
	for job, priority := range map[string]uint16{"mow": 30, "water": 20, "put out the fire": 1} {
		if err := q.Enqueue(job, priority); err != nil {
			log.Fatal(err)
		}
	}
	for range 3 {
		job, err := q.Dequeue()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job)
	}
	// Output:
	// put out the fire
	// water
	// mow
}

func ExampleRWMutex() {
	cli := connect()
	defer cli.Close()
	s, err := concurrency.NewSession(cli)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	// Each holder has an RWMutex of its own; they may share a session.
	one, two := recipe.NewRWMutex(s, "example/catalogue"), recipe.NewRWMutex(s, "example/catalogue")
	fmt.Println(one.RLock(), two.RLock())
	fmt.Println(one.RUnlock(), two.RUnlock())
	fmt.Println(one.Lock())
	fmt.Println(one.Unlock())
	// Output:
	// <nil> <nil>
	// <nil> <nil>
	// <nil>
	// <nil>
}

// WaitEvents waits until a key was put and then deleted. WaitPrefixEvents waits until a key with a
// given prefix was put.
func ExampleWaitEvents() {
	cli := connect()
	defer cli.Close()

	ctx := context.TODO()
	put, err := cli.Put(ctx, "example/door", "open")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Delete(ctx, "example/door"); err != nil {
		log.Fatal(err)
	}
	order := []mvccpb.Event_EventType{clientv3.EventTypePut, clientv3.EventTypeDelete}
	last, err := recipe.WaitEvents(cli, "example/door", put.Header.Revision, order)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", last.Type, last.Kv.Key)
	first, err := recipe.WaitPrefixEvents(cli, "example/do", put.Header.Revision, order[:1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", first.Type, first.Kv.Key)
	// Output:
	// DELETE example/door
	// PUT example/door
}
