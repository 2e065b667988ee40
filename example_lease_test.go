package clientv3_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// When a lease ends, the server deletes the keys attached to it.
func ExampleLease_grant() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "grant/host", "10.0.0.7", clientv3.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Revoke(ctx, lease.ID); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Get(ctx, "grant/host")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("granted for", lease.TTL, "seconds; keys after Revoke:", resp.Count)
	// Output: granted for 60 seconds; keys after Revoke: 0
}

// KeepAlive returns a channel that has a response for each renewal. The channel is closed when the
// client stops renewing the lease. WithKeepAliveEnd makes the reason available.
func ExampleLease_keepAlive() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	lease, err := cli.Grant(context.TODO(), 5)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.TODO())
	ctx, end := clientv3.WithKeepAliveEnd(ctx)
	renewals, err := cli.KeepAlive(ctx, lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed for", (<-renewals).TTL, "seconds")

	cancel() // from now on the lease runs out
	for range renewals {
	}
	fmt.Println("no longer kept:", end.Err())
	// Output:
	// renewed for 5 seconds
	// no longer kept: context canceled
}

func ExampleLease_keepAliveOnce() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := cli.KeepAliveOnce(ctx, lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("renewed for", resp.TTL, "seconds")

	if _, err := cli.Revoke(ctx, lease.ID); err != nil {
		log.Fatal(err)
	}
	_, err = cli.KeepAliveOnce(ctx, lease.ID)
	fmt.Println("gone:", errors.Is(err, rpctypes.ErrLeaseNotFound))
	// Output:
	// renewed for 60 seconds
	// gone: true
}

// The TTL of a lease that does not exist is -1; this is not an error.
func ExampleLease_timeToLive() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := cli.Put(ctx, "ttl/job", "running", clientv3.WithLease(lease.ID)); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("granted for %d seconds, most of them left: %t, keys: %s\n", resp.GrantedTTL,
		resp.TTL > 30, resp.Keys)

	if _, err := cli.Revoke(ctx, lease.ID); err != nil {
		log.Fatal(err)
	}
	resp, err = cli.TimeToLive(ctx, lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after Revoke:", resp.TTL)
	// Output:
	// granted for 60 seconds, most of them left: true, keys: [ttl/job]
	// after Revoke: -1
}

func ExampleLease_leases() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Leases(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range resp.Leases {
		if l.ID == lease.ID {
			fmt.Println("it is listed")
		}
	}
	// Output: it is listed
}

// A program should compare the current time with KeepAliveEnd.Deadline before it acts on something
// that its lease protects. The channel alone is not enough: if the process pauses, the channel is
// closed too late.
func ExampleKeepAliveEnd() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	lease, err := cli.Grant(ctx, 60)
	if err != nil {
		log.Fatal(err)
	}
	ctx, end := clientv3.WithKeepAliveEnd(ctx)
	renewals, err := cli.KeepAlive(ctx, lease.ID)
	if err != nil {
		log.Fatal(err)
	}
	<-renewals
	fmt.Println("certain to live:", time.Now().Before(end.Deadline()))

	if _, err := cli.Revoke(ctx, lease.ID); err != nil {

		log.Fatal(err)

	}
	for range renewals {
	}
	fmt.Println("ended because it was revoked:", errors.Is(end.Err(), clientv3.ErrLeaseRevoked))
	// Output:
	// certain to live: true
	// ended because it was revoked: true
}
