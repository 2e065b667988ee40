package clientv3

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/outbox"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

// watcher is the Watcher of a client: one watchStream for each set of outgoing
// metadata that has watches.
type watcher struct {
	// read-only after NewWatchFromWatchClient
	remote   pb.WatchClient
	ctx      context.Context // ends with the watcher, and with its client
	cancel   context.CancelFunc
	client   *Client           // nil where there is none
	tokens   *authtoken.Source // nil where a refused watch cannot get a better token
	maxBytes int               // largest create request; 0: any
	// maxReceived is the largest message that can be received; unlimited where that is
	// any, which the watcher cannot know of a caller's own stub.
	maxReceived int
	unlimited   bool
	logger      func() *zap.Logger

	closePumps func() // once

	// own synchronisation
	pumps     *outbox.Pumps
	links     sync.WaitGroup // added to only with mu held and closed unset, as are the next two
	callbacks sync.WaitGroup // of consumers' contexts
	ticks     sync.WaitGroup // of watchProbes
	servers   watchmux.Servers
	breakLog  everySecond
	lagLog    everySecond

	// guarded by mu
	mu      sync.Mutex
	streams map[string]*watchStream
	closed  bool
}

// NewWatcher returns a Watcher of its own on the connection of c, with streams
// that it shares with no other. It ends with c or its own Close.
func NewWatcher(c *Client) Watcher { return NewWatchFromWatchClient(pb.NewWatchClient(c.rpc), c) }

// NewWatchFromWatchClient returns a Watcher that opens its streams with wc, which
// may be one without a network (as etcd's own proxy uses). From c come the
// context, the logger, the user and the limit for requests; c may be nil.
func NewWatchFromWatchClient(wc pb.WatchClient, c *Client) Watcher {
	w := &watcher{
		remote:  wc,
		logger:  zap.NewNop,
		pumps:   outbox.NewPumps(),
		streams: make(map[string]*watchStream),

		maxReceived: math.MaxInt32,
	}
	parent := context.Background() //nolint:forbidigo // of a Watcher without a client
	if c.made() {
		w.client = c
		parent, w.logger, w.maxBytes = c.ctx, c.GetLogger, c.cfg.MaxCallSendMsgSize
		if n := c.cfg.MaxCallRecvMsgSize; n > 0 {
			w.maxReceived = n
		}
		w.unlimited = w.maxReceived >= math.MaxInt32
		if c.Token == "" {
			w.tokens = c.tokens
		}
	}
	w.closePumps = sync.OnceFunc(w.pumps.Close)
	w.ctx, w.cancel = context.WithCancel(parent)
	return w
}

// Watch implements Watcher.
func (w *watcher) Watch(ctx context.Context, key string, opts ...OpOption) WatchChan {
	return w.WatchRewritten(ctx, nil, key, opts...)
}

// WatchRewritten is Watch with a function that returns the events to deliver in the
// place of those that came. It runs before they are delivered, must not block, and must
// not change the events, which may be shared; where it returns none, the response is
// left out. The decorators of this module find it by a type assertion; with it they need
// no goroutine that copies one channel into another.
func (w *watcher) WatchRewritten(
	ctx context.Context, rewrite func([]*Event) []*Event, key string, opts ...OpOption,
) WatchChan {
	op := OpWatch(key, opts...)
	s := newWatchSink(w, &op)
	s.rewrite = rewrite
	ready := s.ready
	switch {
	case ctx.Err() != nil:
		s.out.Abort()
		return s.ch
	case w.maxBytes > 0 && len(op.key)+len(op.end)+requestOverhead > w.maxBytes:
		s.out.Close(WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true,
			closeErr: status.Errorf(codes.ResourceExhausted,
				"etcdclient: the range of a watch has %d bytes, too many for requests of %d",
				len(op.key)+len(op.end), w.maxBytes)})
		return s.ch
	case !w.add(ctx, op.watchCreateRequest(), s):
		s.out.Abort()
		return s.ch
	}
	select {
	case <-ready:
		s.follow(ctx)
	case <-ctx.Done():
		s.leave()
	}
	return s.ch
}

// requestOverhead is more than a create request has beside its keys.
const requestOverhead = 64

// add puts a sink on the stream of ctx, which it opens if there is none. It
// reports false once the watcher is closed.
func (w *watcher) add(ctx context.Context, req *pb.WatchCreateRequest, s *watchSink) bool {
	key := streamKey(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.ctx.Err() != nil {
		return false
	}
	if st := w.streams[key]; st != nil {
		s.stream = st
		if st.mux.Add(&s.watch, req, s) {
			return true
		}
	}
	st := newWatchStream(ctx, w, key) // none, or one that is ending
	w.streams[key] = st
	w.links.Add(1)
	s.stream = st
	st.mux.Add(&s.watch, req, s)
	st.startProbe()
	st.link.Start(st)
	return true
}

// forget takes a stream off the books whose link has ended.
func (w *watcher) forget(st *watchStream) {
	w.mu.Lock()
	if w.streams[st.key] == st {
		delete(w.streams, st.key)
	}
	w.mu.Unlock()
	w.links.Done()
}

// RequestProgress implements Watcher.
func (w *watcher) RequestProgress(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key := streamKey(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if st := w.streams[key]; st != nil && st.mux.RequestProgress() {
		return nil
	}
	for _, st := range w.streams {
		if st.mux.Live() {
			return ErrNoWatchStream
		}
	}
	return nil // there is nobody to tell
}

// over is the error of the watcher's context, or of the client's, whose end may have
// closed the connection before it has reached the other.
func (w *watcher) over() error {
	if err := w.ctx.Err(); err != nil || w.client == nil {
		return err
	}
	return w.client.ctx.Err()
}

// Close implements Watcher. The links end with the context, and nothing is
// delivered once they have; so the pumps can go, and then the callbacks, which
// have nothing to wait for.
func (w *watcher) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.links.Wait()
	w.ticks.Wait()
	w.closePumps()
	w.callbacks.Wait()
	return nil
}

// streamKey writes the outgoing metadata of ctx in one way, whatever the order in
// which they were set: names sorted, each part preceded by its length.
func streamKey(ctx context.Context) string {
	md, _ := metadata.FromOutgoingContext(ctx)
	if len(md) == 0 {
		return ""
	}
	names := make([]string, 0, len(md))
	for name := range md {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	part := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	for _, name := range names {
		part(name)
		b.WriteString(strconv.Itoa(len(md[name])))
		b.WriteByte('=')
		for _, value := range md[name] {
			part(value)
		}
	}
	return b.String()
}
