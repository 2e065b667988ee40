package clientv3

import (
	"cmp"
	"context"
	"math"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/outbox"
	"go.etcd.io/etcd/client/v3/internal/watch"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

// watcher is the Watcher of a client. Its gRPC streams receive events, and a watchSink for each
// watch passes the events to the watch's channel.
type watcher struct {
	// read-only after NewWatchFromWatchClient
	streams   *watch.Streams
	maxBytes  int  // the byte limit of a request that creates a watch; 0: none
	unlimited bool // the client receives messages of any size
	logger    func() *zap.Logger

	// safe for concurrent use without mu
	closePumps sync.Once
	pumps      *outbox.Pumps
	callbacks  sync.WaitGroup // counts callbacks set by method follow; Close waits for them
	brokenLog  everySecond
	backlogLog everySecond

	// guarded by mu
	mu     sync.Mutex
	closed bool
}

// NewWatcher returns a new Watcher on the connection of c. It is separate from the Watcher that c
// embeds, and opens its own streams. Its watches end when the Watcher or c is closed.
func NewWatcher(c *Client) Watcher { return NewWatchFromWatchClient(pb.NewWatchClient(c.rpc), c) }

// NewWatchFromWatchClient returns a Watcher that opens its streams with wc, such as a stub of a
// server in the same process. It takes the context, the logger, the login and the limits of message
// sizes from c, which may be nil.
func NewWatchFromWatchClient(wc pb.WatchClient, c *Client) Watcher {
	w := &watcher{logger: zap.NewNop, pumps: outbox.NewPumps()}
	cfg := watch.Config{
		Open:        func(ctx context.Context) (watch.Stream, error) { return wc.Watch(ctx) },
		NewTarget:   func() watch.Target { return new(balancer.StreamTarget) },
		MaxReceived: defaultMaxRecvBytes,
		Broken:      w.logBroken,
		Backlog:     w.logBacklog,
	}
	parent := context.Background() //nolint:forbidigo // the parent for a Watcher without a client
	if c.made() {
		parent, w.logger, w.maxBytes = c.ctx, c.GetLogger, c.cfg.MaxCallSendMsgSize
		cfg.MaxReceived = cmp.Or(c.cfg.MaxCallRecvMsgSize, defaultMaxRecvBytes)
		cfg.Limited = cfg.MaxReceived < defaultMaxRecvBytes
		w.unlimited = !cfg.Limited
		if c.Token == "" && c.tokens != nil {
			cfg.Tokens = c.tokens
		}
		if c.conn != nil && !c.cfg.DisableProbes {
			cfg.Progress, cfg.ProbeMembers = c.progress, c.tracker.ProbeAll
		}
	}
	w.streams = watch.New(parent, cfg)
	return w
}

func (w *watcher) Watch(ctx context.Context, key string, opts ...OpOption) WatchChan {
	return w.WatchRewritten(ctx, nil, key, opts...)
}

// WatchRewritten is Watch with a function that changes the events. For each response, rewrite gets
// the events and returns those to deliver instead. If it returns no event, the response is not
// delivered. The function must not block, and must not change the events that it gets, because
// watches may share them.
//
// Packages of this module that wrap a Watcher find this method by a type assertion. It saves them a
// goroutine that copies one channel into another.
func (w *watcher) WatchRewritten(
	ctx context.Context, rewrite func([]*Event) []*Event, key string, opts ...OpOption,
) WatchChan {
	op := OpWatch(key, opts...)
	ch := make(chan WatchResponse, watchChanSize)
	s := newWatchSink(w, ch, &op)
	s.rewrite = rewrite
	ready := s.ready
	switch {
	case ctx.Err() != nil:
		s.out.Abort()
		return ch
	case w.maxBytes > 0 && len(op.key)+len(op.end)+requestOverhead > w.maxBytes:
		s.out.Close(WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true,
			closeErr: status.Errorf(codes.ResourceExhausted,
				"etcdclient: the range of a watch has %d bytes, too many for requests of %d",
				len(op.key)+len(op.end), w.maxBytes)})
		return ch
	case !w.streams.Add(ctx, &s.watch, op.watchCreateRequest(), s):
		s.out.Abort()
		return ch
	}
	select {
	case <-ready:
		s.follow(ctx)
	case <-ctx.Done():
		s.leave()
	}
	return ch
}

// requestOverhead is an upper bound, in bytes, for the size of a create request without its key and
// range end.
const requestOverhead = 64

func (w *watcher) RequestProgress(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.streams.RequestProgress(ctx)
}

// Close ends the parts of the watcher in this order:
//
//   - the streams, so that no more responses come;
//   - the pumps, the goroutines that deliver queued responses;
//   - the callbacks that end a watch when its context ends. A pump that ends cancels the callback
//     of its watch. A callback that already runs cannot be cancelled, so Close waits for it.
func (w *watcher) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.streams.Close()
	w.closePumps.Do(w.pumps.Close)
	w.callbacks.Wait()
	return nil
}

func (w *watcher) logBroken(err error) {
	w.brokenLog.log(w.logger(), zap.DebugLevel, "watch stream broken, opening it again",
		zap.Error(err))
}

func (w *watcher) logBacklog(responses, bytes int) {
	w.backlogLog.log(w.logger(), zap.WarnLevel, "a watch's consumer lags behind",
		zap.Int("responses", responses), zap.Int("bytes", bytes))
}

// watchChanSize is the capacity of the channel of a watch. If the channel is full, further
// responses are queued, and a goroutine delivers them.
const watchChanSize = 2

// mergeBuffers limits the size of a response that is merged from fragments. Fragments are the
// messages into which the server splits a large response. The limit is mergeBuffers times the byte
// limit of the watch's buffer (see [WithWatchBuffer]). Fragments are merged in two cases:
//
//   - The program asked for fragments (WithFragment).
//   - The client accepts messages of any size. Its program expects whole responses, for example
//     when a watch starts at a past revision.
const mergeBuffers = 2

// watchSink is the consumer's side of one watch. It makes WatchResponses from what the mux
// receives. Its methods are called by:
//
//   - the mux, which shares one gRPC stream among many watches: Created, Deliver and Done;
//   - the outbox, which queues responses for the watch's channel: Size, Drained and Closed.
type watchSink struct {
	// read-only once the watch is added to a stream
	watcher       *watcher
	out           outbox.Outbox[WatchResponse] // sends on the channel of the watch
	maxBytes      int
	maxResponses  int
	createdNotify bool
	logsBacklog   bool
	rewrite       func([]*Event) []*Event // nil: events are not changed

	// safe for concurrent use without mu
	watch watch.Watch

	// used only by Created and Done, which the mux calls one at a time
	ready chan struct{} // closed when Watch may return; nil once it is closed

	// guarded by mu
	mu      sync.Mutex
	release func() bool // cancels the callback set by method follow; may be nil
	closed  bool        // the channel of the watch is closed
}

func newWatchSink(w *watcher, ch chan WatchResponse, op *Op) *watchSink {
	s := &watchSink{
		watcher:       w,
		createdNotify: op.createdNotify,
		logsBacklog:   op.watchBufLog,
		ready:         make(chan struct{}),
	}
	s.maxBytes, s.maxResponses = op.watchBuffer()
	if op.fragment || w.unlimited {
		s.watch.MergeBytes = mergeBuffers * min(s.maxBytes, math.MaxInt/mergeBuffers)
	}
	s.out = outbox.New(ch, s, w.pumps)
	return s
}

func (s *watchSink) Created(header *pb.ResponseHeader) {
	if s.createdNotify {
		s.out.Post(WatchResponse{Header: header, Created: true})
	}
	close(s.ready)
	s.ready = nil
}

func (s *watchSink) Deliver(header *pb.ResponseHeader, events []*mvccpb.Event) (full bool) {
	if s.rewrite != nil && len(events) > 0 {
		if events = s.rewrite(events); len(events) == 0 {
			return false
		}
	}
	responses, bytes := s.out.Post(WatchResponse{Header: header, Events: events})
	if s.logsBacklog && responses > 0 {
		s.watch.NoteBacklog(responses, bytes)
	}
	return responses >= s.maxResponses || bytes >= s.maxBytes
}

func (s *watchSink) Done(f watchmux.Final) {
	last := WatchResponse{Header: f.Header, Canceled: true, CompactRevision: f.CompactRevision,
		CancelReason: f.Reason}
	if f.Err != nil {
		last.Header, last.closeErr = &pb.ResponseHeader{}, rpctypes.Error(f.Err)
	}
	s.out.Close(last)
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

func (s *watchSink) Size(wr WatchResponse) int {
	const responseSize, eventSize = 200, 300 // roughly the bytes of a WatchResponse and an Event
	n := responseSize
	for _, e := range wr.Events {
		n += eventSize + len(e.GetKv().GetKey()) + len(e.GetKv().GetValue()) +
			len(e.GetPrevKv().GetKey()) + len(e.GetPrevKv().GetValue())
	}
	return n
}

func (s *watchSink) Drained() { s.watch.Drained() }

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

// follow sets a callback that ends the watch when ctx ends. The method Closed cancels the callback.
func (s *watchSink) follow(ctx context.Context) {
	if ctx.Done() == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.watcher.expectCallback() {
		return
	}
	s.release = context.AfterFunc(ctx, func() { // runs on its own goroutine
		defer s.watcher.callbacks.Done()
		s.leave()
	})
}

// leave ends the watch and closes its channel, because the context of its consumer has ended.
func (s *watchSink) leave() {
	s.watch.Cancel()
	s.out.Abort()
}

// expectCallback makes Close wait for one more callback and returns true. The caller must then set
// the callback, which ends a watch when the context of the watch ends. If the watcher is closed,
// expectCallback returns false, because Close ends all watches.
func (w *watcher) expectCallback() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.callbacks.Add(1)
	}
	return !w.closed
}
