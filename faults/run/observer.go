package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
)

// observer watches all keys at each member by gRPC's generated stubs. While one member is broken,
// the others still report every change.
type observer struct {
	first int64 // the revision at which the watches begin

	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex
	changes map[int64]judge.Change
	highest int64
}

// newObserver starts a watch at each member of the bed, from a revision on.
func newObserver(ctx context.Context, b *bed, first int64) *observer {
	o := &observer{first: first, changes: map[int64]judge.Change{}}
	ctx, o.stop = context.WithCancel(ctx)
	for _, conn := range b.conns {
		// The goroutine ends when ctx ends. The method close ends ctx and waits for the goroutine.
		o.ended.Go(func() {
			next := first
			for ctx.Err() == nil {
				next = o.follow(ctx, b, conn, next)
				_ = wait(ctx, 20*time.Millisecond) // the loop looks at ctx
			}
		})
	}
	return o
}

func (o *observer) close() {
	o.stop()
	o.ended.Wait()
}

// follow records the changes from the revision next on, until the stream ends. It returns the
// revision from which the next call has to go on.
func (o *observer) follow(ctx context.Context, b *bed, conn *grpc.ClientConn, next int64) int64 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, err := b.AsRoot(ctx, conn)
	if err != nil {
		return next
	}
	stream, err := pb.NewWatchClient(conn).Watch(ctx, grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return next
	}
	all := []byte{0}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
		CreateRequest: &pb.WatchCreateRequest{Key: all, RangeEnd: all, StartRevision: next},
	}}); err != nil {
		return next
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return next
		}
		next = max(next, resp.CompactRevision, o.add(resp.Events)+1)
		if resp.Canceled {
			return next
		}
	}
}

// add records events and returns the revision of the last one, zero if there is none.
func (o *observer) add(events []*mvccpb.Event) (last int64) {
	now := time.Now().UnixNano()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range events {
		last = e.Kv.ModRevision
		if _, known := o.changes[last]; known {
			continue
		}
		value := string(e.Kv.Value)
		if i := strings.IndexByte(value, ':'); i >= 0 {
			value = strings.Clone(value[:i+1])
		}
		o.changes[last] = judge.Change{Rev: last, Key: string(e.Kv.Key), Value: value, At: now,
			Delete: e.Type == mvccpb.Event_DELETE}
		o.highest = max(o.highest, last)
	}
	return last
}

// last returns the highest revision that was recorded.
func (o *observer) last() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.highest
}

// history returns the recorded changes. It fails if a revision is missing, because a client cannot
// be judged by an incomplete history.
func (o *observer) history() (judge.History, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := judge.History(slices.SortedFunc(maps.Values(o.changes),
		func(a, b judge.Change) int { return cmp.Compare(a.Rev, b.Rev) }))
	previous := map[string]int64{}
	for i := range h {
		c := &h[i]
		if c.Rev != o.first+int64(i) {
			return nil, fmt.Errorf("no member told revision %d", o.first+int64(i))
		}
		c.Prev = previous[c.Key]
		previous[c.Key] = c.Rev
		if c.Delete {
			previous[c.Key] = 0
		}
	}
	return h, nil
}
