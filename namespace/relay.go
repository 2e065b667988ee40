package namespace

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// relays holds the goroutines that copy watch responses for a namespace. They copy from an inner
// Watcher's channels to the namespace's channels, and rewrite the keys of the events. A client's
// Watcher can rewrite events itself. The goroutines are needed only for an inner Watcher that
// cannot. They end when the namespace's Watcher is closed.
type relays struct {
	// safe for use without mu, except where noted
	stop    chan struct{}  // closed by close to end the goroutines
	running sync.WaitGroup // call Go only while mu is held and the field closed is false

	// guarded by mu
	mu     sync.Mutex
	closed bool
}

// start returns a channel that delivers the responses of in, the inner Watcher's channel. The
// function rewrite changes the events of each response before the response is delivered. After
// close was called, start returns a closed channel.
func (r *relays) start(
	ctx context.Context, in clientv3.WatchChan, rewrite func([]*clientv3.Event) []*clientv3.Event,
) clientv3.WatchChan {
	out := make(chan clientv3.WatchResponse) // sent on and closed only by the goroutine below
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		close(out)
		return out
	}
	// The goroutine ends when ctx ends, when the inner Watcher closes its channel, or when r.close
	// is called. r.close waits for the goroutine.
	r.running.Go(func() {
		defer close(out)
		r.copy(ctx, out, in, rewrite)
	})
	return out
}

func (r *relays) copy(
	ctx context.Context, out chan<- clientv3.WatchResponse, in clientv3.WatchChan,
	rewrite func([]*clientv3.Event) []*clientv3.Event,
) {
	for {
		var resp clientv3.WatchResponse
		var ok bool
		select {
		case resp, ok = <-in:
		case <-ctx.Done():
		case <-r.stop:
		}
		if !ok {
			return
		}
		resp.Events = rewrite(resp.Events)
		select {
		case out <- resp:
		case <-ctx.Done():
			return
		case <-r.stop:
			return
		}
	}
}

// close ends all goroutines, and returns when they have ended.
func (r *relays) close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.stop)
	}
	r.mu.Unlock()
	r.running.Wait()
}
