package main

import (
	"context"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// keepRegistered keeps an endpoint of the service in etcd until ctx ends, and deletes it then.
//
// The endpoint is attached to a lease, so that it disappears if this process dies. If the lease is
// lost for another reason (the process was suspended, the servers could not be reached for longer
// than the lease lives, an operator has revoked it), a new one is granted and the endpoint is put
// again.
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

// register puts the endpoint with a new lease, and returns when the lease is lost or ctx has ended,
// with the reason.
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
	for range renewals { // until the client stops renewing
	}
	return end.Err()
}

// revoke deletes the endpoint with its lease, also if ctx has ended. If that fails, the lease
// expires by itself.
func revoke(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = client.Revoke(ctx, lease)
}
