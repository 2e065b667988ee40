// Command queue does the jobs of a queue until it is interrupted. Its arguments are jobs to add
// first:
//
//	go run ./examples/queue resize:a.png resize:b.png
//
// With -demo, two workers share three jobs, and one worker dies in the middle of a job.
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

// run adds the jobs of the command line, and then works until ctx ends.
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
	defer session.Close() // releases the claim of an unfinished job at once
	err = queue.Work(ctx, session, func(_ context.Context, job string) error {
		fmt.Fprintln(out, "doing", job)
		return nil
	})
	if ctx.Err() != nil {
		return nil // the user has interrupted the program
	}
	return err
}

// newSession makes a session whose lifetime does not depend on ctx. So after ctx has ended, closing
// the session still revokes its lease.
func newSession(ctx context.Context, client *clientv3.Client) (*concurrency.Session, error) {
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(client, concurrency.WithLease(lease.ID))
}
