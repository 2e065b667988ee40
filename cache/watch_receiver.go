package cache

import (
	"context"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// sourceAsks is the time between two requests for progress to the server, while watches get their
// changes from it. The answers show when a watch without changes can go on with the log.
const sourceAsks = 500 * time.Millisecond

// asksBeforeWide is how many requests for progress go without an answer before a source of one
// watch also watches the whole range of the cache. They take 30 seconds, in which a server answers
// that is merely slow, also if the client opens its stream anew meanwhile. A wide watch would cost
// such a server the events of the whole range.
const asksBeforeWide = 60

// clientClosed is why a watch ends whose source was closed without a reason.
const clientClosed = "cache: the client is closed"

// sourceReceiver receives what the server sends to a source. A source of one watch watches what
// that watch does, at first. If notices of progress do not say how far the server's watch is, only
// an event does, and a quiet watch would stay with the server. So the source then watches the whole
// range of the cache: with any event there, the watch comes back to the log. The first watch goes
// on until the wide one has delivered something, because history that it has passed may have been
// compacted since.
type sourceReceiver struct {
	m        *memoryStream
	source   *serverSource
	key, end string
	prevKV   bool
	wide     bool  // the source watches the whole range, or has begun to
	last     int64 // all events up to it were received
	switched int64 // last when the wide watch took over, which repeats events up to it
	asks     int   // requests for progress without an answer that proves something
}

// serverWatch is one watch on the server. The zero value has no events.
type serverWatch struct {
	events clientv3.WatchChan
	stop   context.CancelFunc
}

// run receives until the source is stopped, or the server ends the watch.
func (r *sourceReceiver) run() {
	defer r.source.stop() // and with it the watches
	watch, wide := r.open(r.key, r.end), serverWatch{}
	ask := time.NewTicker(sourceAsks)
	defer ask.Stop()
	_ = r.m.cache.client.RequestProgress(r.source.ctx) // asked again
	for going := true; going; {
		select {
		case <-r.source.ctx.Done():
			return
		case <-ask.C:
			if r.ask() {
				wide = r.open(r.m.cache.opts.from, r.m.cache.opts.end)
			}
		case resp, ok := <-wide.events:
			switch {
			case !ok || resp.Err() != nil:
				wide.stop()
				wide = serverWatch{}
			case len(resp.Events) > 0:
				watch.stop()
				watch, wide = wide, serverWatch{}
				r.switched = r.last
				going = r.deliver(resp)
			}
		case resp, ok := <-watch.events:
			if !ok {
				resp = clientv3.WatchResponse{Canceled: true, CancelReason: clientClosed}
			}
			going = r.deliver(resp)
		}
	}
}

// open watches a range on the server, from the first revision that was not received.
func (r *sourceReceiver) open(key, end string) serverWatch {
	opts := []clientv3.OpOption{clientv3.WithRev(r.last + 1)}
	if end != "" {
		opts = append(opts, clientv3.WithRange(end))
	}
	if r.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	ctx, stop := context.WithCancel(r.source.ctx)
	return serverWatch{r.m.cache.client.Watch(ctx, key, opts...), stop}
}

// ask asks for progress, and reports whether to watch the whole range because no notice can be
// expected that proves something.
func (r *sourceReceiver) ask() bool {
	c := r.m.cache
	_ = c.client.RequestProgress(r.source.ctx) // asked again
	switch {
	case r.wide:
		return false
	case c.noticesProve():
		r.asks = 0
		return false
	}
	if r.asks++; r.asks < asksBeforeWide {
		c.advance() // its answer shows whether notices can be expected
		return false
	}
	r.wide = true
	return true
}

// deliver passes a response to the stream, without events that the narrow watch has delivered. It
// reports whether to go on.
func (r *sourceReceiver) deliver(resp clientv3.WatchResponse) bool {
	if resp.IsProgressNotify() && !r.m.cache.trusts(&resp) {
		return true
	}
	if len(resp.Events) > 0 {
		later := slices.IndexFunc(resp.Events, func(ev *clientv3.Event) bool {
			return ev.Kv.ModRevision > r.switched
		})
		if later < 0 {
			return true
		}
		resp.Events = resp.Events[later:]
		r.last = max(r.last, resp.Events[len(resp.Events)-1].Kv.ModRevision)
	}
	select {
	case r.m.sourced <- sourced{r.source, resp}:
	case <-r.source.ctx.Done():
	}
	return !resp.Canceled
}
