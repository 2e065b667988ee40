package concurrency_test

import (
	"context"
	"fmt"
	"log"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Ten transfers at once move money between two accounts; no money is lost.
func ExampleNewSTM() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, account := range []string{"accounts/alice", "accounts/bob"} {
		if _, err := cli.Put(ctx, account, "100"); err != nil {
			log.Fatal(err)
		}
	}

	transfer := func(s concurrency.STM) error {
		from, err := strconv.Atoi(s.Get("accounts/alice"))
		if err != nil {
			return err
		}
		to, err := strconv.Atoi(s.Get("accounts/bob"))
		if err != nil {
			return err
		}
		s.Put("accounts/alice", strconv.Itoa(from-5))
		s.Put("accounts/bob", strconv.Itoa(to+5))
		return nil
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := concurrency.NewSTM(cli, transfer); err != nil {
				log.Fatal(err)
			}
		})
	}
	wg.Wait()

	resp, err := cli.Get(ctx, "accounts/", clientv3.WithPrefix())
	if err != nil {
		log.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		fmt.Printf("%s: %s\n", kv.Key, kv.Value)
	}
	// Output:
	// accounts/alice: 50
	// accounts/bob: 150
}

// If the function passed to NewSTM returns an error, the transaction ends and writes nothing.
func ExampleSTM_abort() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	_, err = concurrency.NewSTM(cli, func(s concurrency.STM) error {
		s.Put("stock/left", "-1")
		return fmt.Errorf("sold out at revision %d", s.Rev("stock/left"))
	})
	fmt.Println(err)
	resp, err := cli.Get(context.TODO(), "stock/left")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keys:", resp.Count)
	// Output:
	// sold out at revision 0
	// keys: 0
}

// Two doctors are on call. Each of them may leave only if the other one stays.
// SerializableSnapshot, the default isolation level, ensures that. At the level ReadCommitted, both
// could leave if they asked at the same time.
func ExampleWithIsolation() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	leave := func(level concurrency.Isolation, name, other string) error {
		_, err := concurrency.NewSTM(cli, func(s concurrency.STM) error {
			if s.Get("oncall/"+other) == "" {
				return fmt.Errorf("%s has to stay", name)
			}
			s.Del("oncall/" + name)
			return nil
		}, concurrency.WithIsolation(level), concurrency.WithPrefetch("oncall/alice", "oncall/bob"),
			concurrency.WithAbortContext(context.TODO()))
		return err
	}
	for _, name := range []string{"alice", "bob"} {
		if _, err := cli.Put(context.TODO(), "oncall/"+name, "yes"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(leave(concurrency.SerializableSnapshot, "alice", "bob"))
	fmt.Println(leave(concurrency.SerializableSnapshot, "bob", "alice"))
	// Output:
	// <nil>
	// bob has to stay
}

// Each isolation level except the default one has a function that runs a transaction at that level.
func ExampleNewSTMRepeatable() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	count := func(s concurrency.STM) error {
		s.Put("visits", s.Get("visits")+"|")
		return nil
	}
	for _, stm := range []func(
		context.Context, *clientv3.Client, func(concurrency.STM) error,
	) (*clientv3.TxnResponse, error){
		concurrency.NewSTMSerializable,
		concurrency.NewSTMRepeatable,
		concurrency.NewSTMReadCommitted,
	} {
		if _, err := stm(ctx, cli, count); err != nil {
			log.Fatal(err)
		}
	}
	resp, err := cli.Get(ctx, "visits")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", resp.Kvs[0].Value)
	// Output: |||
}
