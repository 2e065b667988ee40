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

// doubtTimeout bounds one question about a lease in doubt.
const doubtTimeout = 3 * time.Second

// doubtQuestions is how many questions are under way at once.
const doubtQuestions = 16

// doubts are the leases of which a member has said, at their first renewal, that they
// do not exist. Another member is asked for their TTLs.
type doubts struct {
	asking sync.WaitGroup // goroutines that ask, while there is something to ask

	mu      sync.Mutex
	queue   []int64
	workers int // how many ask
}

// confirm asks for the TTLs of leases. It does not block.
func (l *lessor) confirm(ids []int64) {
	d := &l.doubts
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, ids...)
	for want := min(len(d.queue), doubtQuestions); d.workers < want; d.workers++ {
		// Stopped through l.ctx; Close waits for it, after the keeper that calls confirm.
		d.asking.Go(l.ask)
	}
}

// ask asks until no question is left.
func (l *lessor) ask() {
	d := &l.doubts
	for {
		d.mu.Lock()
		if len(d.queue) == 0 || l.ctx.Err() != nil {
			d.workers--
			d.mu.Unlock()
			return
		}
		id := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		gone, left := l.timeLeft(l.place.Elsewhere(l.ctx), id)
		l.keeper.Confirmed(id, gone, left)
	}
}

// isGone reports whether a lease is gone of which the member at place has said so.
func (l *lessor) isGone(ctx context.Context, place *balancer.Place, id LeaseID) bool {
	gone, _ := l.timeLeft(place.Elsewhere(ctx), int64(id))
	return gone
}

// timeLeft asks whether a lease is gone of which a member has said so, and otherwise
// how long it lives at least. A server that does not tell is taken by its first word.
func (l *lessor) timeLeft(ctx context.Context, id int64) (gone bool, left time.Duration) {
	ctx, cancel := context.WithTimeout(origin.Client(ctx), doubtTimeout)
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
