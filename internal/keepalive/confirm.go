package keepalive

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

const (
	// confirmTimeout is how long a member may take to say whether a lease exists.
	confirmTimeout = 3 * time.Second
	// maxConfirming is how many leases other members are asked about at a time.
	maxConfirming = 16
)

// Confirmer asks other members whether leases exist. A keeper uses it if the member of its stream
// does not know a lease that was never renewed: perhaps this member has not applied the grant yet.
type Confirmer struct {
	// Read-only after NewConfirmer.
	ctx    context.Context // no request is sent after ctx ends
	remote *Remote
	target Target // the target of the keeper's streams
	answer func(id int64, gone bool, left time.Duration)

	// Own synchronisation.
	workers sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	queue   []question
	running int // the number of workers
}

// question is the question whether one lease exists. ctx sends the request to another member than
// the one that did not know the lease.
type question struct {
	ctx context.Context
	id  int64
}

// NewConfirmer returns a Confirmer that calls answer with each result; answer is
// [Keeper.Confirmed]. The Confirmer sends no request after ctx has ended.
func NewConfirmer(
	ctx context.Context, r *Remote, target Target, answer func(int64, bool, time.Duration),
) *Confirmer {
	return &Confirmer{ctx: ctx, remote: r, target: target, answer: answer}
}

// Ask starts to ask for the TTLs of leases. The requests avoid the member of the keeper's latest
// stream. Ask does not block.
func (c *Confirmer) Ask(ids []int64) {
	ctx := c.target.Elsewhere(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.queue = append(c.queue, question{ctx: ctx, id: id})
	}
	for n := len(ids); n > 0 && c.running < maxConfirming; n-- {
		c.running++
		// Stopped through c.ctx; Wait waits for it.
		c.workers.Go(c.work)
	}
}

// Wait waits until all workers have ended. Ask must not be called afterwards.
func (c *Confirmer) Wait() { c.workers.Wait() }

// work asks questions until the queue is empty or the context ends.
func (c *Confirmer) work() {
	for q, ok := c.next(); ok; q, ok = c.next() {
		gone, left := c.remote.timeLeft(q.ctx, q.id)
		c.answer(q.id, gone, left)
	}
}

// next removes a question from the queue and returns it. If the queue is empty or the context has
// ended, next returns false, and the worker must end.
func (c *Confirmer) next() (q question, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.ctx.Err() != nil {
		c.running--
		return question{}, false
	}
	q, c.queue = c.queue[0], c.queue[1:]
	return q, true
}

// timeLeft asks for the TTL of a lease that one member did not know. It reports whether the lease
// is gone. If the lease exists, left is the least time that it has left. If no member answers,
// timeLeft returns false and 0. If the request is refused, timeLeft reports that the lease is gone,
// as the first member has said.
func (r *Remote) timeLeft(ctx context.Context, id int64) (gone bool, left time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	resp, err := r.TimeToLive(ctx, id)
	switch {
	case err != nil:
		return ctx.Err() == nil && !classify.IsUnavailable(err), 0
	case resp.GetTTL() > 0:
		return false, seconds(resp.GetTTL())
	}
	return resp.GetTTL() < 0 || resp.GetGrantedTTL() <= 0, 0
}
