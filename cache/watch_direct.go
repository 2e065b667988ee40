package cache

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// directWatches are the watches of one Watcher that were opened on the server, because the cache
// cannot answer them. A goroutine for each of these watches passes on the responses.
type directWatches struct {
	server  clientv3.Watcher
	end     context.Context // all watches end when this context ends
	passing sync.WaitGroup  // the goroutines that pass on responses

	// guarded by mu
	mu     sync.Mutex
	opened bool // a watch was opened
	closed bool // close was called, so no goroutine may be started
}

// open opens a watch on the server. The watch ends with ctx or with d.end.
func (d *directWatches) open(
	ctx context.Context, key string, opts []clientv3.OpOption,
) clientv3.WatchChan {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(d.end, cancel)
	in := d.server.Watch(ctx, key, opts...)
	out := make(chan clientv3.WatchResponse) // sent on and closed only by pass
	// Two contexts refer to the watch, because they can end it: d.end and the parent of ctx. When
	// the server has ended the watch, pass removes both references to free the memory.
	pass := func() {
		defer close(out)
		defer cancel()
		defer release()
		passOn(ctx, out, in)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = true
	if d.closed {
		cancel()
		pass()
		return out
	}
	// The goroutine ends with ctx, or when the server ends the watch. close waits for it.
	d.passing.Go(pass)
	return out
}

// passOn receives responses from the channel in and sends them to the channel out, until in is
// closed or ctx ends.
func passOn(ctx context.Context, out chan<- clientv3.WatchResponse, in clientv3.WatchChan) {
	for {
		var resp clientv3.WatchResponse
		var ok bool
		select {
		case resp, ok = <-in:
		case <-ctx.Done():
		}
		if !ok {
			return
		}
		select {
		case out <- resp:
		case <-ctx.Done():
			return
		}
	}
}

// any reports whether a watch was opened.
func (d *directWatches) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

// close waits until the channels of all watches are closed. The caller must have cancelled the
// context d.end.
func (d *directWatches) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.passing.Wait()
}
