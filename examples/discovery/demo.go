package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// comeAndGo runs two servers, revokes the lease of the first, and then stops the second.
func comeAndGo(ctx context.Context, out io.Writer, etcd []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	client, err := clientv3.New(clientv3.Config{Endpoints: etcd})
	if err != nil {
		cancel()
		return err
	}
	servers := &servers{client: client}
	defer func() {
		cancel()
		err = errors.Join(err, servers.wait(), client.Close())
	}()

	manager, err := endpoints.NewManager(client, service)
	if err != nil {
		return err
	}
	changes, err := manager.NewWatchChannel(ctx)
	if err != nil {
		return err
	}
	servers.start(ctx, "a")
	printNext(out, changes)
	stopB := servers.start(ctx, "b")
	printNext(out, changes)

	conn, err := dial(client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := callUntil(ctx, conn, "b", "a", "b"); err != nil {
		return err
	}
	fmt.Fprintln(out, "a and b answer in turn")

	if err := revokeLeaseOf(ctx, client, service+"/a"); err != nil {
		return err
	}
	printNext(out, changes) // "a" is gone
	printNext(out, changes) // "a" has registered again
	stopB()
	printNext(out, changes)
	if err := callUntil(ctx, conn, "a", "a", "a"); err != nil {
		return err
	}
	fmt.Fprintln(out, "a answers alone")
	return nil
}

// servers are the gRPC servers that run in this process.
type servers struct {
	client *clientv3.Client

	running sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

// start starts a server. The returned function stops it.
func (s *servers) start(ctx context.Context, name string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.running.Go(func() {
		err := serve(ctx, io.Discard, s.client, name)
		s.mu.Lock()
		s.failed = errors.Join(s.failed, err)
		s.mu.Unlock()
	})
	return cancel
}

// wait waits until all servers have ended, and returns their errors.
func (s *servers) wait() error {
	s.running.Wait()
	return s.failed
}

// printNext waits for the next changes of the service's endpoints and prints them.
func printNext(out io.Writer, changes endpoints.WatchChannel) {
	for _, change := range <-changes {
		state := "is in etcd"
		if change.Op == endpoints.Delete {
			state = "is gone"
		}
		fmt.Fprintln(out, strings.TrimPrefix(change.Key, "examples/"), state)
	}
}

// callUntil makes calls until the last ones were answered by the servers in want, in that order.
func callUntil(ctx context.Context, conn *grpc.ClientConn, want ...string) error {
	var last []string
	for strings.Join(last, " ") != strings.Join(want, " ") {
		from, err := call(ctx, conn)
		if err != nil {
			return err
		}
		if last = append(last, from); len(last) > len(want) {
			last = last[1:]
		}
	}
	return nil
}

// revokeLeaseOf revokes the lease to which a key is attached, as an operator might do.
func revokeLeaseOf(ctx context.Context, client *clientv3.Client, key string) error {
	resp, err := client.Get(ctx, key)
	if err != nil {
		return err
	}
	if len(resp.Kvs) == 0 {
		return fmt.Errorf("no key %s", key)
	}
	_, err = client.Revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease))
	return err
}
