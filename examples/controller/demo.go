package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

// takeOver runs two instances, changes the desired objects, stops the leader, and changes the
// objects again.
func takeOver(ctx context.Context, out io.Writer, endpoints []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		cancel()
		return err
	}
	var instances sync.WaitGroup
	said := demo.NewWatched(out)
	defer func() {
		cancel()
		instances.Wait()
		err = errors.Join(err, client.Close())
	}()
	start := func(name string) (stop context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		instances.Go(func() { _ = instance(ctx, said, endpoints, name) })
		return cancel
	}
	desire := func(ops ...clientv3.Op) error {
		_, err := client.Txn(ctx).Then(ops...).Commit()
		return err
	}
	// Delete the keys that an earlier demonstration may have left on these servers.
	if err := desire(clientv3.OpDelete(prefix, clientv3.WithPrefix())); err != nil {
		return err
	}

	stopFirst := start("first")
	if err := said.Wait(ctx, "first: leading"); err != nil {
		return err
	}
	start("second")
	err = desire(clientv3.OpPut(desired+"door", "shut"), clientv3.OpPut(desired+"lamp", "on"))
	if err := errors.Join(err, said.Wait(ctx, "first: created lamp")); err != nil {
		return err
	}
	stopFirst()
	if err := said.Wait(ctx, "second: leading"); err != nil {
		return err
	}
	err = desire(clientv3.OpDelete(desired+"door"), clientv3.OpPut(desired+"lamp", "off"))
	return errors.Join(err, said.Wait(ctx, "second: changed lamp"))
}
