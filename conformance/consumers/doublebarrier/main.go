// Command doublebarrier makes its clients enter and leave a double barrier together with the
// clients of other processes. Each round uses a new barrier. For a barrier of four clients, two
// processes run this command at the same time:
//
//	doublebarrier -endpoint http://127.0.0.1:2379 -clients 2 -of 4 -rounds 300
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

func main() {
	endpoint := flag.String("endpoint", "", "the server")
	clients := flag.Int("clients", 1, "how many clients this process has")
	of := flag.Int("of", 2, "how many clients a barrier is for")
	rounds := flag.Int("rounds", 1, "how often each client enters and leaves")
	flag.Parse()
	if err := run(*endpoint, *clients, *of, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("all rounds are over")
}

// run starts a goroutine for each of the clients, and returns when all of them have left the last
// barrier.
func run(endpoint string, clients, of, rounds int) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return err
	}
	defer client.Close()
	errs := make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { errs[i] = through(client, of, rounds) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// through opens a session. With it, through enters and leaves the barrier of each round in turn.
func through(client *clientv3.Client, of, rounds int) error {
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer session.Close()
	for round := range rounds {
		b := recipe.NewDoubleBarrier(session, fmt.Sprintf("barrier/%d", round), of)
		if err := b.Enter(); err != nil {
			return fmt.Errorf("round %d: enter: %w", round, err)
		}
		if err := b.Leave(); err != nil {
			return fmt.Errorf("round %d: leave: %w", round, err)
		}
	}
	return nil
}
