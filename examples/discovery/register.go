package main

import (
	"context"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// keepRegistered keeps an endpoint of the service in etcd until ctx ends, and then deletes it.
//
// The endpoint is attached to a lease, so that it disappears if this process dies. The lease can
// also be lost for another reason: the process was suspended or could not reach the servers for
// longer than the lease lives, or an operator has revoked the lease. Then keepRegistered puts the
// endpoint again, with a new lease.
func keepRegistered(
	ctx context.Context, out io.Writer, client *clientv3.Client, name, addr string,
) error {
	manager, err := endpoints.NewManager(client, service)
	if err != nil {
		return err
	}
	for {
		err := register(ctx, client, manager, name, addr)
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(out, "%s: registering again: %v\n", name, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// register puts the endpoint with a new lease, and renews the lease. When the lease is lost or ctx
// has ended, register returns the reason.
func register(
	ctx context.Context, client *clientv3.Client, manager endpoints.Manager, name, addr string,
) error {
	lease, err := client.Grant(ctx, 10)
	if err != nil {
		return err
	}
	defer revoke(ctx, client, lease.ID)
	endpoint := endpoints.Endpoint{Addr: addr, Metadata: name}
	err = manager.AddEndpoint(ctx, service+"/"+name, endpoint, clientv3.WithLease(lease.ID))
	if err != nil {
		return err
	}
	ctx, end := clientv3.WithKeepAliveEnd(ctx)
	renewals, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	for range renewals { // runs until the client stops renewing
	}
	return end.Err()
}

// revoke revokes the lease, and so deletes the endpoint, even if ctx has ended. If the revoke
// fails, the lease expires by itself.
func revoke(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = client.Revoke(ctx, lease)
}
