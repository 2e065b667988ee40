package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

const (
	mebibyte   = 1 << 20
	smallQuota = 48 * mebibyte
	largeFill  = 500 // MiB
	// fillPrefix is the prefix of the keys that fill the database.
	fillPrefix = "fill/"
)

// spaceScenarios are about the size of the members' databases.
var spaceScenarios = []scenario{
	{
		name:    "quota alarm",
		about:   "The database is full: every put is refused until it is compacted.",
		options: quota(smallQuota),
		plan:    usualLoad, length: 3 * time.Second, fault: fillUp, heal: makeRoom,
	},
	{
		name:    "defragmentation",
		about:   "A follower with a database of 500 MiB is defragmented.",
		options: quota(8 << 30),
		plan:    usualLoad, prepare: fillMuch,
		fault: func(ctx context.Context, b *bed) error { return b.defragment(ctx, b.follower()) },
	},
}

func quota(bytes int64) []etcdtest.Option {
	return []etcdtest.Option{etcdtest.WithArgs(fmt.Sprint("--quota-backend-bytes=", bytes))}
}

// putFill writes a mebibyte.
func putFill(ctx context.Context, conn *grpc.ClientConn, i int) error {
	_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: fmt.Append(nil, fillPrefix, i),
		Value: []byte(strings.Repeat("x", mebibyte))})
	return err
}

// fillUp puts large values until the members refuse a put because their quota is used up.
func fillUp(ctx context.Context, b *bed) error {
	for ctx.Err() == nil {
		err := putFill(ctx, b.conns[b.leader], 0)
		if errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// makeRoom compacts and defragments all members, and ends the alarm NOSPACE. It repeats this until
// the leader takes a put.
func makeRoom(ctx context.Context, b *bed) error {
	for {
		if err := tryMakeRoom(ctx, b); err != nil {
			return err
		}
		_, err := pb.NewKVClient(b.conns[b.leader]).Put(ctx,
			&pb.PutRequest{Key: []byte(fillPrefix + "small"), Value: []byte("small")})
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace) {
			return err
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func tryMakeRoom(ctx context.Context, b *bed) error {
	_, err := pb.NewKVClient(b.conns[b.leader]).Compact(ctx,
		&pb.CompactionRequest{Revision: b.observer.last(), Physical: true})
	if err != nil && !errors.Is(rpctypes.Error(err), rpctypes.ErrCompacted) {
		return err
	}
	for i := range b.conns {
		if err := b.defragment(ctx, i); err != nil {
			return err
		}
	}
	api := pb.NewMaintenanceClient(b.conns[b.leader])
	resp, err := api.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
	if err != nil {
		return err
	}
	for _, a := range resp.Alarms {
		if _, err := api.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE,
			MemberID: a.MemberID, Alarm: a.Alarm}); err != nil {
			return err
		}
	}
	return nil
}

// fillMuch writes a large database, with several callers at once.
func fillMuch(ctx context.Context, b *bed) error {
	const callers = 4
	var all sync.WaitGroup
	errs := make([]error, callers)
	for c := range callers {
		// The goroutine ends when it has written its part. fillMuch waits for that.
		all.Go(func() {
			for i := c; i < largeFill && errs[c] == nil; i += callers {
				errs[c] = putFill(ctx, b.conns[b.leader], i)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (b *bed) defragment(ctx context.Context, member int) error {
	_, err := pb.NewMaintenanceClient(b.conns[member]).Defragment(ctx, &pb.DefragmentRequest{})
	return err
}

// manyScenarios have many clients in one program.
var manyScenarios = []scenario{
	{
		name:  "many clients",
		about: "All members are killed and started again, under 1,000 clients with a watch each.",
		plan:  record.Plan{Clients: 1000}, length: 4 * time.Second, after: 8 * time.Second,
		direct: true,
		fault:  func(_ context.Context, b *bed) error { b.Kill(); return nil },
		heal:   func(_ context.Context, b *bed) error { return b.Restart() },
	},
}
