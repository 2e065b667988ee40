// Command config is a program whose configuration is a few keys in etcd. It follows their changes
// without a restart, also across lost connections and compactions:
//
//	etcdctl put examples/config/greeting servus
//
// With -demo it changes its configuration itself, once to something that is not valid.
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

// run follows the configuration, and works with it, until ctx ends.
func run(ctx context.Context, out io.Writer, endpoints []string) error {
	return follow(ctx, out, endpoints, func(
		ctx context.Context, live *Live, _ *clientv3.Client,
	) error {
		for {
			cfg := live.Load() // once for each piece of work: its parts belong together
			fmt.Fprintln(out, cfg.Greeting)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(cfg.Timeout):
			}
		}
	})
}

// follow calls work with a configuration that is kept up to date, when the first one is there.
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
	go func() { // ends with the context, and with the cache
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
