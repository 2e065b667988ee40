package main

import (
	"context"
	"io"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/examples/internal/demo"
)

// changes writes three new configurations. After each one, it waits for the program's output.
func changes(ctx context.Context, out io.Writer, endpoints []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	said := demo.NewWatched(out)
	return follow(ctx, said, endpoints, func(
		ctx context.Context, _ *Live, client *clientv3.Client,
	) error {
		for _, step := range []struct {
			want string
			ops  []clientv3.Op
		}{
			{"servus", []clientv3.Op{clientv3.OpPut(prefix+"timeout-seconds", "5"),
				clientv3.OpPut(prefix+"greeting", "servus")}},
			{"keeping", []clientv3.Op{clientv3.OpPut(prefix+"timeout-seconds", "soon")}},
			{"hello", []clientv3.Op{clientv3.OpDelete(prefix, clientv3.WithPrefix())}},
		} {
			if _, err := client.Txn(ctx).Then(step.ops...).Commit(); err != nil {
				return err
			}
			if err := said.Wait(ctx, step.want); err != nil {
				return err
			}
		}
		return nil
	})
}
