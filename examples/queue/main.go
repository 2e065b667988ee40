// Command queue does the jobs of a queue until it is interrupted. Arguments are jobs to add before:
//
//	go run ./examples/queue resize:a.png resize:b.png
//
// With -demo two workers share three jobs, and one of them dies in the middle of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

func main() { demo.Main(run, twoWorkers) }

// run adds the jobs of the command line, and works until ctx ends.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	queue := &Queue{client, "examples/queue"}
	for _, job := range flag.Args() {
		if err := queue.Add(ctx, job); err != nil {
			return err
		}
	}
	session, err := newSession(ctx, client)
	if err != nil {
		return err
	}
	defer session.Close() // a job that was not finished is free at once
	err = queue.Work(ctx, session, func(_ context.Context, job string) error {
		fmt.Fprintln(out, "doing", job)
		return nil
	})
	if ctx.Err() != nil {
		return nil // the user has interrupted the program
	}
	return err
}

// newSession makes a session that outlives ctx, so that closing it still reaches the servers.
func newSession(ctx context.Context, client *clientv3.Client) (*concurrency.Session, error) {
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(client, concurrency.WithLease(lease.ID))
}
