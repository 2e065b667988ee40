package cache

import (
	"context"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// sourceAsks is the time between two requests for progress to the server. They are sent while some
// watches get their changes from a source (a watch on the server). The answers show how far the
// source is. Once it has passed the start of the log, its watches go on with the log, even if they
// had no event.
const sourceAsks = 500 * time.Millisecond

// asksBeforeWide is the number of requests for progress after which a sourceReceiver opens its wide
// watch, of the whole range of the cache. It counts the requests in a row that have brought no
// notice of progress that can be trusted. (The server may have sent a notice before older events.)
//
// With one request every sourceAsks, that takes 30 seconds. A server that is merely slow answers
// within that time, even if the client has to open its stream again. A wide watch would make such a
// server send all events of the range for nothing.
const asksBeforeWide = 60

// clientClosed is the cancel reason that consumers get if a watch on the server has ended without a
// reason.
const clientClosed = "cache: the client is closed"

// sourceReceiver receives the responses of a source: a watch on the server that brings the changes
// which the log no longer has. A source for a single watch at first watches only the range of that
// watch. Notices of progress show when the source has passed the start of the log. The watch then
// goes on with the log.
//
// Some servers send no notices, or may send them before older events. Then only an event shows how
// far the source is, and a watch without events would need the source forever. So the source opens
// a second watch, the wide watch, for the whole range of the cache. Any event in that range shows
// how far the wide watch is.
//
// The server may refuse the wide watch, because it has compacted the history from which the watch
// would start. So the first watch is ended only after the wide one has brought an event.
type sourceReceiver struct {
	m        *memoryStream
	source   *serverSource
	key, end string
	prevKV   bool
	// wide says that no wide watch is to be opened any more. Either the first watch on the server
	// has the whole range of the cache already, or the wide watch was opened. wide stays true if
	// that watch has failed.
	wide bool
	// notices says that the watches on the server are asked for periodic notices of progress. It is
	// true if the cache had ended when the source was opened, because consumers then get no other
	// notices.
	notices bool
	last    int64 // all events up to this revision were received
	// switched is the revision up to which events had been received when the wide watch replaced
	// the first watch. The wide watch repeats these events, and deliver skips them.
	switched int64
	// asks is how many requests for progress in a row have brought no notice that can be trusted.
	asks int
}

// serverWatch is one watch on the server. The zero value brings no events.
type serverWatch struct {
	events clientv3.WatchChan
	stop   context.CancelFunc
}

// run receives the responses of the watch on the server until r.source is stopped, or the server
// ends the watch. It runs on a goroutine of its own.
func (r *sourceReceiver) run() {
	defer r.source.stop() // also ends the watches on the server
	watch, wide := r.open(r.key, r.end), serverWatch{}
	ask := time.NewTicker(sourceAsks)
	defer ask.Stop()
	_ = r.m.cache.client.RequestProgress(r.source.ctx) // after an error, the next tick asks again
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
			case !ok || resp.Err() != nil || r.m.cache.now().err != nil:
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

// open starts a watch of a range on the server, from the first revision that was not received.
func (r *sourceReceiver) open(key, end string) serverWatch {
	opts := []clientv3.OpOption{clientv3.WithRev(r.last + 1)}
	if end != "" {
		opts = append(opts, clientv3.WithRange(end))
	}
	if r.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if r.notices {
		opts = append(opts, clientv3.WithProgressNotify())
	}
	ctx, stop := context.WithCancel(r.source.ctx)
	return serverWatch{r.m.cache.client.Watch(ctx, key, opts...), stop}
}

// ask sends a RequestProgress, which asks the server how far the watches are. It returns true if
// the caller must open the wide watch, of the whole range of the cache. That is so after
// asksBeforeWide requests without a notice of progress that can be trusted. (The server may have
// sent a notice before older events.)
//
// After the end of the cache, ask sends a request only if a consumer has requested progress. The
// log then gets no more changes, so the cache itself needs no notice.
func (r *sourceReceiver) ask() bool {
	c := r.m.cache
	ended := c.now().err != nil
	if ended && !r.m.noticesWanted.Load() {
		return false
	}
	_ = c.client.RequestProgress(r.source.ctx) // after an error, the next tick asks again
	switch {
	case r.wide || ended:
		return false
	case c.noticesProve():
		r.asks = 0
		return false
	}
	if r.asks++; r.asks < asksBeforeWide {
		// Request progress of the cache's own watch, too. If the server answers with a notice that
		// can be trusted, c.noticesProve returns true from then on.
		c.advance()
		return false
	}
	r.wide = true
	return true
}

// deliver passes a response to the stream. It returns false if the response has ended the watch. It
// leaves out two things:
//
//   - events that the first watch delivered before the wide watch (of the whole range of the cache)
//     replaced it
//   - a notice of progress that cannot be trusted, because the server may have sent it before older
//     events
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
