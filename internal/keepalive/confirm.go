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
	// maxConfirming is how many requests a Confirmer may have in flight. Each request asks about
	// one lease.
	maxConfirming = 16
)

// Confirmer asks members whether a lease exists. A [Keeper] uses it if a member does not know a
// lease that was never renewed. That member may not have applied the grant yet, so the Confirmer
// asks another one.
type Confirmer struct {
	// Read-only after NewConfirmer.
	ctx    context.Context // no request is sent after ctx ends
	remote *Remote
	target Target // knows the member of the keeper's latest stream
	answer func(id int64, gone bool, left time.Duration)

	// workers counts the goroutines that run work. It needs no mutex.
	workers sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	queue   []question
	running int // the number of workers
}

// question is a queued request, which asks a member whether a lease exists.
type question struct {
	ctx context.Context // makes the balancer avoid the member that has said "the lease is gone"
	id  int64           // of the lease
}

// NewConfirmer returns a Confirmer that passes each result to answer, which is [Keeper.Confirmed].
// It sends no request after ctx has ended. target chooses the members of the keeper's streams, and
// tells the Confirmer how to avoid the member of the latest one.
func NewConfirmer(
	ctx context.Context, r *Remote, target Target, answer func(int64, bool, time.Duration),
) *Confirmer {
	return &Confirmer{ctx: ctx, remote: r, target: target, answer: answer}
}

// Ask queues a request for the TTL of each lease. The requests go to other members than that of the
// keeper's latest stream. Ask does not block.
func (c *Confirmer) Ask(ids []int64) {
	ctx := c.target.Elsewhere(c.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.queue = append(c.queue, question{ctx: ctx, id: id})
	}
	for n := len(ids); n > 0 && c.running < maxConfirming; n-- {
		c.running++
		// The worker ends when the queue is empty or c.ctx ends; Wait waits for it.
		c.workers.Go(c.work)
	}
}

// Wait waits until all workers have ended. Ask must not be called afterwards.
func (c *Confirmer) Wait() { c.workers.Wait() }

// work sends the queued requests one by one, and passes each result to c.answer. It returns when
// the queue is empty or c.ctx has ended.
func (c *Confirmer) work() {
	for q, ok := c.next(); ok; q, ok = c.next() {
		gone, left := c.remote.timeLeft(q.ctx, q.id)
		c.answer(q.id, gone, left)
	}
}

// next removes a question from the queue and returns it. If the queue is empty or c.ctx has ended,
// ok is false, and the worker must end.
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
// is gone. If the lease exists, left is a lower bound of the time until it expires. If the request
// fails, timeLeft returns:
//   - false and 0, if no member can answer within confirmTimeout
//   - true, if a member refuses the request, because the first member has said that the lease is
//     gone
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
