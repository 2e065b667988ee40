package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// guardScenarios cut off the holder of a lock, and the leader of an election.
var guardScenarios = []scenario{
	{
		name:  record.Mutex,
		about: "Three clients lock in turn. The holder is cut off for longer than its lease lives.",
		plan:  record.Plan{Guard: record.Mutex, TTL: 2},
		fault: cutOffHolders(record.Mutex),
	},
	{
		name:  record.Election,
		about: "Three clients campaign in turn. The leader is cut off for longer than its lease lives.",
		plan:  record.Plan{Guard: record.Election, TTL: 2},
		fault: cutOffHolders(record.Election),
	},
}

// cutOffHolders returns a step that cuts off the client that holds the lock, or is the leader. The
// step does so four times, each time with the holder or leader of that moment.
func cutOffHolders(kind string) step {
	const rounds, cutFor, pause = 4, 4 * time.Second, time.Second
	return func(ctx context.Context, b *bed) error {
		for range rounds {
			holder, err := b.holder(ctx, kind)
			if err != nil {
				return err
			}
			p := b.proxies[holder]
			p.Blackhole(faultnet.Both)
			if err := wait(ctx, cutFor); err != nil {
				return err
			}
			healed(p)
			if err := wait(ctx, pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// holder waits until a contender holds the lock, or is the leader. It returns the index of the
// member to which that contender's client connects.
func (b *bed) holder(ctx context.Context, kind string) (holder int, err error) {
	first := record.GuardPrefix + kind + "/"
	err = b.ask(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		kv := pb.NewKVClient(conn)
		keys, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte(first),
			RangeEnd: []byte(record.GuardPrefix + kind + "0"), Limit: 1,
			SortTarget: pb.RangeRequest_CREATE, SortOrder: pb.RangeRequest_ASCEND})
		if err != nil {
			return err
		}
		if len(keys.Kvs) == 0 {
			return fmt.Errorf("there is no %s", kind)
		}
		who, err := kv.Range(ctx, &pb.RangeRequest{
			Key: []byte(record.ContenderKey(keys.Kvs[0].Lease))})
		if err != nil {
			return err
		}
		if len(who.Kvs) == 0 {
			return fmt.Errorf("lease %x is of no contender", keys.Kvs[0].Lease)
		}
		holder, err = strconv.Atoi(string(who.Kvs[0].Value))
		return err
	})
	return holder, err
}
