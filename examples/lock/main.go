// Command lock shows three ways to keep an old holder of a lock from doing harm. An old holder is
// one that was suspended for longer than its lease lives: another process has the lock by then, and
// the old holder does not know this when it wakes up.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

func main() { demo.Main(run, run) }

// run lets alice and then bob have the lock. Then alice, who has lost it, tries to go on.
func run(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	files := &fileServer{}

	alice, err := lock(ctx, client)
	if err != nil {
		return err
	}
	defer alice.session.Close()
	fmt.Fprintln(out, "alice has the lock; her write to the file server:",
		files.write(alice.mutex.Rev(), "from alice"))

	// Alice hangs, and an operator revokes her lease. Now bob gets the lock.
	token := alice.mutex.Rev()
	owner := alice.mutex.IsOwner()
	work := alice.mutex.Ctx()
	if _, err := client.Revoke(ctx, alice.session.Lease()); err != nil {
		return err
	}
	bob, err := lock(ctx, client)
	if err != nil {
		return err
	}
	defer bob.session.Close()
	fmt.Fprintln(out, "bob has the lock; his write to the file server:",
		files.write(bob.mutex.Rev(), "from bob"))

	// Alice wakes up, and goes on as if she still had the lock.
	fmt.Fprintln(out, "alice's write to the file server:", files.write(token, "from alice again"))
	resp, err := client.Txn(ctx).If(owner).Then(clientv3.OpPut("examples/lock", "alice")).Commit()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "alice's transaction in etcd was applied:", resp.Succeeded)
	<-work.Done()
	fmt.Fprintln(out, "alice's other work has been stopped:", work.Err())
	return bob.mutex.Unlock(ctx)
}

type worker struct {
	session *concurrency.Session
	mutex   *concurrency.Mutex
}

// lock makes a new session, and waits for the lock. Each worker needs its own session, because
// mutexes of the same session do not exclude each other.
func lock(ctx context.Context, client *clientv3.Client) (worker, error) {
	session, err := concurrency.NewSession(client, concurrency.WithTTL(10))
	if err != nil {
		return worker{}, err
	}
	mutex := concurrency.NewMutex(session, "examples/lock/file")
	if err := mutex.Lock(ctx); err != nil {
		return worker{}, errors.Join(err, session.Close())
	}
	return worker{session, mutex}, nil
}
