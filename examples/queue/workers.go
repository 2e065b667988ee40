package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// twoWorkers shows that a job is done even if the worker that began it dies.
func twoWorkers(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	// Delete the keys of an earlier demonstration on these servers.
	prefix := "examples/queue-demo"
	cleared, err := client.Delete(ctx, prefix+"/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	queue := &Queue{client, prefix}
	for _, job := range []string{"first job", "second job", "third job"} {
		if err := queue.Add(ctx, job); err != nil {
			return err
		}
	}

	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	alice, err := newSession(ctx, client)
	if err != nil {
		return err
	}
	hangs := make(chan struct{})
	workers.Go(func() {
		_ = queue.Work(ctx, alice, func(ctx context.Context, job string) error {
			fmt.Fprintln(out, "alice begins the", job, "and hangs")
			close(hangs)
			<-ctx.Done()
			return ctx.Err()
		})
	})
	<-hangs
	bob, err := newSession(ctx, client)
	if err != nil {
		return err
	}
	defer bob.Close()
	workers.Go(func() {
		_ = queue.Work(ctx, bob, func(_ context.Context, job string) error {
			fmt.Fprintln(out, "bob does the", job)
			return nil
		})
	})

	done := client.Watch(ctx, prefix+"/jobs/", clientv3.WithPrefix(), clientv3.WithFilterPut(),
		clientv3.WithRev(cleared.Header.Revision+1))
	return letAliceDie(ctx, out, client, alice, done)
}

// letAliceDie revokes alice's lease when two jobs are done, and returns when the third job is done.
func letAliceDie(
	ctx context.Context, out io.Writer, client *clientv3.Client, alice *concurrency.Session,
	done clientv3.WatchChan,
) error {
	jobs := 0
	for resp := range done {
		jobs += len(resp.Events)
		switch {
		case resp.Err() != nil:
			return resp.Err()
		case jobs == 2:
			fmt.Fprintln(out, "alice's session ends")
			if _, err := client.Revoke(ctx, alice.Lease()); err != nil {
				return err
			}
		case jobs == 3:
			fmt.Fprintln(out, "all jobs are done")
			return nil
		}
	}
	return ctx.Err()
}
