// Command config is a program whose configuration is a few keys in etcd. It follows changes of
// these keys without a restart, even across lost connections and compactions:
//
//	etcdctl put examples/config/greeting servus
//
// With -demo, the program changes its configuration by itself, once to an invalid one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

const prefix = "examples/config/"

func main() { demo.Main(run, changes) }

// run follows the configuration, and uses it for its work, until ctx ends.
func run(ctx context.Context, out io.Writer, endpoints []string) error {
	return follow(ctx, out, endpoints, func(
		ctx context.Context, live *Live, _ *clientv3.Client,
	) error {
		for {
			cfg := live.Load() // once for each piece of work, so that its settings belong together
			fmt.Fprintln(out, cfg.Greeting)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(cfg.Timeout):
			}
		}
	})
}

// follow keeps a configuration up to date. When the first valid configuration is there, follow
// calls the function work.
func follow(
	ctx context.Context, out io.Writer, endpoints []string,
	work func(context.Context, *Live, *clientv3.Client) error,
) (err error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	c, err := cache.New(client, prefix)
	if err != nil {
		return err
	}
	var live Live
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with ctx or with the cache; the deferred function below waits for it
		defer cancel()
		ended <- live.Follow(ctx, c, prefix, ready, out)
	}()
	defer func() {
		cancel()
		if following := <-ended; !errors.Is(following, context.Canceled) {
			err = errors.Join(err, following)
		}
		err = errors.Join(err, c.Close())
	}()
	select {
	case <-ready:
		return work(ctx, &live, client)
	case <-ctx.Done():
		return nil
	}
}
