// Command election is one candidate for leadership. Start it several times, with ETCD_ENDPOINTS set
// to the same servers. One process is the leader. When it ends or dies, another one becomes the
// leader.
//
// With -demo it starts two candidates as separate processes, kills the leader, and waits until the
// other candidate is the leader.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

var (
	name = flag.String("name", "candidate", "what the leader is called")
	ttl  = flag.Int64("ttl", 10, "seconds after which a candidate that is silent counts as dead")
)

func main() { demo.Main(run, failover) }

// run is a candidate until ctx ends. If it loses leadership, it becomes a candidate again.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	for {
		err := lead(ctx, out, client)
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(out, "%s: not leading any more: %v\n", *name, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// lead waits until this process is the leader, and then until ctx ends or leadership is lost. The
// session's lifetime does not depend on ctx. So after ctx has ended, closing the session still
// deletes the candidate's key, and the next candidate leads at once.
func lead(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	lease, err := client.Grant(ctx, *ttl)
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(client, concurrency.WithLease(lease.ID))
	if err != nil {
		return err
	}
	defer func() {
		if err := session.Close(); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			fmt.Fprintf(out, "%s: others wait until the lease expires: %v\n", *name, err)
		}
	}()

	election := concurrency.NewElection(session, "examples/election")
	fmt.Fprintf(out, "%s: candidate\n", *name)
	if err := election.Campaign(ctx, *name); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: leading\n", *name)
	select {
	case <-ctx.Done():
		fmt.Fprintf(out, "%s: resigning\n", *name)
		return nil
	case <-session.Done(): // the lease has expired, so another candidate may already lead
		return context.Cause(session.Ctx())
	}
}
