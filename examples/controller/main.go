// Command controller makes the actual objects in etcd equal to the desired ones. Start it several
// times, with ETCD_ENDPOINTS set to the same servers, and change a desired object:
//
//	etcdctl put examples/controller/desired/lamp on
//
// With -demo, two instances run. The leader stops, and the other instance takes over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

var name = flag.String("name", "controller", "what this instance is called")

func main() { demo.Main(run, takeOver) }

func run(ctx context.Context, out io.Writer, endpoints []string) error {
	return instance(ctx, out, endpoints, *name)
}

// instance runs one instance of the controller until ctx ends. The instance keeps its cache up to
// date even while it does not lead. So it can work at once when it becomes the leader.
func instance(ctx context.Context, out io.Writer, endpoints []string, name string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	objects, err := cache.New(client, prefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	for {
		err := lead(ctx, client, controller{name: name, cache: objects, out: out})
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(out, "%s: not leading any more: %v\n", name, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// lead waits until this instance is the leader. Then it runs the controller c until ctx or the
// session of this instance ends.
func lead(ctx context.Context, client *clientv3.Client, c controller) error {
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(client, concurrency.WithLease(lease.ID))
	if err != nil {
		return err
	}
	defer session.Close() // lets the next instance lead at once
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(session.Ctx(), func() { cancel(context.Cause(session.Ctx())) })()

	c.leader = concurrency.NewElection(session, prefix+"leader")
	if err := c.leader.Campaign(ctx, c.name); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: leading\n", c.name)
	return c.run(ctx)
}
