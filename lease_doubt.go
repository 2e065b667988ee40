package clientv3

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

const (
	// confirmTimeout bounds one question whether a lease exists.
	confirmTimeout = 3 * time.Second
	// maxConfirming is how many of these questions are asked at a time.
	maxConfirming = 16
)

// confirmation is one question whether a lease exists. ctx avoids the member that has
// answered its first renewal with "not found".
type confirmation struct {
	ctx context.Context
	id  int64
}

// confirmations are the questions that are still to be asked.
type confirmations struct {
	workers sync.WaitGroup

	mu      sync.Mutex
	queue   []confirmation
	running int // workers
}

// confirm asks other members than the one of the keepalive stream for the TTLs of leases.
// It does not block.
func (l *lessor) confirm(ids []int64) {
	ctx := l.place.Elsewhere(l.ctx)
	c := &l.confirmations
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.queue = append(c.queue, confirmation{ctx: ctx, id: id})
	}
	for n := len(ids); n > 0 && c.running < maxConfirming; n-- {
		c.running++
		// Stopped through l.ctx; Close waits for it, after the keeper that calls confirm.
		c.workers.Go(l.confirmQueued)
	}
}

// confirmQueued asks questions until none is left.
func (l *lessor) confirmQueued() {
	for {
		next, ok := l.nextConfirmation()
		if !ok {
			return
		}
		gone, left := l.timeLeft(next.ctx, next.id)
		l.keeper.Confirmed(next.id, gone, left)
	}
}

// nextConfirmation takes a question off the queue. If there is none, the worker that
// called it has ended.
func (l *lessor) nextConfirmation() (next confirmation, ok bool) {
	c := &l.confirmations
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || l.ctx.Err() != nil {
		c.running--
		return confirmation{}, false
	}
	next, c.queue = c.queue[0], c.queue[1:]
	return next, true
}

// isGone reports whether a lease is gone after the member at place has said so.
func (l *lessor) isGone(ctx context.Context, place *balancer.StreamTarget, id LeaseID) bool {
	gone, _ := l.timeLeft(place.Elsewhere(ctx), int64(id))
	return gone
}

// timeLeft reports whether a lease is gone after one member has said so, and otherwise
// how long it lives at least. If the question is refused, that member is believed.
func (l *lessor) timeLeft(ctx context.Context, id int64) (gone bool, left time.Duration) {
	ctx, cancel := context.WithTimeout(origin.Client(ctx), confirmTimeout)
	defer cancel()
	resp, err := l.remote.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id})
	switch {
	case err != nil:
		return ctx.Err() == nil && !classify.IsUnavailable(err), 0
	case resp.GetTTL() > 0:
		return false, time.Duration(min(resp.GetTTL(), MaxLeaseTTL)) * time.Second
	}
	return resp.GetTTL() < 0 || resp.GetGrantedTTL() <= 0, 0
}
