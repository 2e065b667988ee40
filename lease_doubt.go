package clientv3

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// doubtTimeout bounds one question about a lease in doubt.
const doubtTimeout = 3 * time.Second

// doubts are the leases of which a member has said, at their first renewal, that they
// do not exist. Their TTLs are asked for one after another.
type doubts struct {
	asking sync.WaitGroup // one while there is something to ask

	mu    sync.Mutex
	queue []int64
	busy  bool
}

// confirm asks for the TTLs of leases. It does not block.
func (l *lessor) confirm(ids []int64) {
	d := &l.doubts
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, ids...)
	if d.busy {
		return
	}
	d.busy = true
	// Stopped through l.ctx; Close waits for it, after the keeper that calls confirm.
	d.asking.Go(l.ask)
}

// ask puts all questions.
func (l *lessor) ask() {
	d := &l.doubts
	for {
		d.mu.Lock()
		if len(d.queue) == 0 || l.ctx.Err() != nil {
			d.busy = false
			d.mu.Unlock()
			return
		}
		id := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		gone, left := l.timeLeft(l.ctx, id)
		l.keeper.Confirmed(id, gone, left)
	}
}

// isGone reports whether a lease is gone of which a member has said so.
func (l *lessor) isGone(ctx context.Context, id LeaseID) bool {
	gone, _ := l.timeLeft(ctx, int64(id))
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
