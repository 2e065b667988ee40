// Command quickstart does what most programs do with etcd, and prints the server's responses.
//
// It starts its own server (bin/etcd, which `make etcd` builds) on a free loopback port, and stops
// it at the end. If ETCD_ENDPOINTS is set to a list of endpoints, separated by commas, it uses
// those servers instead. It writes only below a prefix of its own, and deletes the keys it wrote.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
	"go.etcd.io/etcd/client/v3/namespace"
)

func main() { demo.Main(run, run) }

// run goes through all steps with a client of the servers at endpoints.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Fprintln(out, "etcd at", strings.Join(endpoints, ","))

	// The namespace adds the prefix to every key in a request, and removes it from keys in
	// responses.
	prefix := fmt.Sprintf("quickstart/%d/", time.Now().UnixNano())
	client.KV = namespace.NewKV(client.KV, prefix)
	client.Watcher = namespace.NewWatcher(client.Watcher, prefix)
	defer func() { err = errors.Join(err, deleteAll(ctx, out, client)) }()

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, step := range steps {
		fmt.Fprintf(out, "\n%s\n", step.title)
		if err := step.run(ctx, out, client); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

var steps = []struct {
	title string
	run   func(context.Context, io.Writer, *clientv3.Client) error
}{
	{"put and get", putAndGet},
	{"compare and swap", compareAndSwap},
	{"watch", watch},
	{"lease", lease},
}

func putAndGet(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	for _, planet := range []string{"venus", "earth", "mars"} {
		if _, err := client.Put(ctx, "planet/"+planet, "dry"); err != nil {
			return err
		}
		fmt.Fprintf(out, "  put planet/%s = dry\n", planet)
	}
	resp, err := client.Get(ctx, "planet/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range resp.Kvs {
		fmt.Fprintf(out, "  got %s = %s of revision %d\n", kv.Key, kv.Value, kv.ModRevision)
	}
	return nil
}

// compareAndSwap writes a key, and then tries two more writes. Both have the condition that the key
// has not changed since the first write. The write of "wet" changes the key, so the write of "icy"
// is refused, and its transaction reads the key instead.
func compareAndSwap(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	put, err := client.Put(ctx, "planet/earth", "warm")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  put planet/earth = warm at revision %d\n", put.Header.Revision)
	for _, value := range []string{"wet", "icy"} {
		resp, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision("planet/earth"), "=", put.Header.Revision)).
			Then(clientv3.OpPut("planet/earth", value)).
			Else(clientv3.OpGet("planet/earth")).
			Commit()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  put %s if earth is of that revision: %t\n", value, resp.Succeeded)
		for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
			fmt.Fprintf(out, "  got %s = %s instead\n", kv.Key, kv.Value)
		}
	}
	return nil
}

// watch starts a watch at the revision of a put that happened before. So the watch delivers that
// put and the delete after it, although both are older than the watch.
func watch(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	put, err := client.Put(ctx, "weather", "rain")
	if err != nil {
		return err
	}
	if _, err := client.Delete(ctx, "weather"); err != nil {
		return err
	}
	fmt.Fprintf(out, "  put weather = rain at revision %d, delete it, watch from there\n",
		put.Header.Revision)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch
	for resp := range client.Watch(ctx, "weather", clientv3.WithRev(put.Header.Revision)) {
		if err := resp.Err(); err != nil {
			return err
		}
		for _, ev := range resp.Events {
			fmt.Fprintf(out, "  saw %s %s %q\n", ev.Type, ev.Kv.Key, ev.Kv.Value)
			if ev.Type == clientv3.EventTypeDelete {
				return nil
			}
		}
	}
	return ctx.Err()
}

// lease attaches a key to a lease, and renews the lease. Then it revokes the lease, which deletes
// the key.
func lease(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "visitor", "here", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	fmt.Fprintf(out, "  put visitor = here with a lease of %d seconds\n", lease.TTL)
	renewals, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	if renewal, ok := <-renewals; ok {
		fmt.Fprintf(out, "  renewed the lease for %d seconds\n", renewal.TTL)
	}
	if _, err := client.Revoke(ctx, lease.ID); err != nil {
		return err
	}
	left, err := client.Get(ctx, "visitor")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  revoked the lease: %d keys left\n", left.Count)
	return nil
}

// deleteAll deletes all keys that run has written, even after an interrupt.
func deleteAll(ctx context.Context, out io.Writer, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	resp, err := client.Delete(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\ndeleted all %d keys\n", resp.Deleted)
	return nil
}
