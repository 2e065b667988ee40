package clientv3

import (
	"context"
	"math"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"go.etcd.io/etcd/client/v3/internal/outbox"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

// watchChanSize is the room of a watch's channel. It is what a consumer may be
// behind without a goroutine having to wait for it.
const watchChanSize = 2

// mergeBuffers is up to how many times the limit of a watch's buffer fragments are put
// together to the response that the server made, for consumers who asked for fragments,
// and for those of a client without a limit for what it receives, which would get that
// response whole without them. It is the first response of a watch from a past revision
// that consumers rely on.
const mergeBuffers = 2

// watchSink is the consumer's side of one watch: mux callbacks in, responses out.
// The mux calls Created, Deliver and Done; the outbox calls Size, Drained and
// Closed; the consumer's context calls leave.
type watchSink struct {
	// read-only once added to its stream
	watcher       *watcher
	stream        *watchStream
	ch            chan WatchResponse
	out           *outbox.Outbox[WatchResponse]
	maxBytes      int
	maxResponses  int
	createdNotify bool
	bufLog        bool
	rewrite       func([]*Event) []*Event // nil: events are delivered as they come

	// own synchronisation
	watch watchmux.Watcher

	// used by Created and Done only, of which the mux calls one at a time
	ready chan struct{} // closed when the Watch call may return; nil from then on

	// guarded by mu
	mu      sync.Mutex
	release func() bool // ends the wait for the consumer's context
	closed  bool
}

func newWatchSink(w *watcher, op *Op) *watchSink {
	s := &watchSink{
		watcher:       w,
		ch:            make(chan WatchResponse, watchChanSize),
		createdNotify: op.createdNotify,
		bufLog:        op.watchBufLog,
		ready:         make(chan struct{}),
	}
	s.maxBytes, s.maxResponses = op.watchBuffer()
	if op.fragment || w.unlimited {
		s.watch.MergeBytes = mergeBuffers * min(s.maxBytes, math.MaxInt/mergeBuffers)
	}
	s.out = outbox.New(s.ch, s, w.pumps)
	return s
}

// Created implements watchmux.Sink.
func (s *watchSink) Created(header *pb.ResponseHeader) {
	if s.createdNotify {
		s.out.Post(WatchResponse{Header: header, Created: true})
	}
	close(s.ready)
	s.ready = nil
}

// Deliver implements watchmux.Sink.
func (s *watchSink) Deliver(header *pb.ResponseHeader, events []*mvccpb.Event) (full bool) {
	if s.rewrite != nil && len(events) > 0 {
		if events = s.rewrite(events); len(events) == 0 {
			return false
		}
	}
	s.out.Post(WatchResponse{Header: header, Events: events})
	responses, bytes := s.out.Backlog()
	if s.bufLog && responses > 0 {
		s.stream.noteBacklog(responses, bytes)
	}
	return responses >= s.maxResponses || bytes >= s.maxBytes
}

// Done implements watchmux.Sink.
func (s *watchSink) Done(f watchmux.Final) {
	s.out.Close(finalResponse(f))
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

// Size implements outbox.Hooks.
func (s *watchSink) Size(wr WatchResponse) int {
	const responseSize, eventSize = 200, 300 // about what the structures take
	n := responseSize
	for _, e := range wr.Events {
		n += eventSize + len(e.GetKv().GetKey()) + len(e.GetKv().GetValue()) +
			len(e.GetPrevKv().GetKey()) + len(e.GetPrevKv().GetValue())
	}
	return n
}

// Drained implements outbox.Hooks.
func (s *watchSink) Drained() { s.stream.mux.Drained(&s.watch) }

// Closed implements outbox.Hooks.
func (s *watchSink) Closed() {
	s.mu.Lock()
	s.closed = true
	release := s.release
	s.release = nil
	s.mu.Unlock()
	if release != nil && release() {
		s.watcher.callbacks.Done()
	}
}

// follow makes the end of ctx that of the watch, until the channel is closed.
func (s *watchSink) follow(ctx context.Context) {
	if ctx.Done() == nil || !s.watcher.expectCallback() {
		return
	}
	release := context.AfterFunc(ctx, func() {
		defer s.watcher.callbacks.Done()
		s.leave()
	})
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.release = release
	}
	s.mu.Unlock()
	if closed && release() {
		s.watcher.callbacks.Done()
	}
}

// leave ends the watch because its consumer's context has ended.
func (s *watchSink) leave() {
	s.stream.mux.Cancel(&s.watch)
	s.out.Abort()
}

// expectCallback counts a callback that Close has to wait for. It reports false
// once the watcher is closed: the watch has ended then, or is about to.
func (w *watcher) expectCallback() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.callbacks.Add(1)
	}
	return !w.closed
}
