package bidi

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Stream is one stream of a two-way RPC, as gRPC's generated clients return it. Recv and Send are
// called from one goroutine each, CloseSend from that of Send and at most once. All of them must
// return when the dial's context ends.
type Stream[Req, Resp any] interface {
	Send(*Req) error
	Recv() (*Resp, error)
	CloseSend() error
}

// Dial opens a stream that lives until ctx ends. It may block until then.
type Dial[Req, Resp any] func(ctx context.Context) (Stream[Req, Resp], error)

// Handler is the protocol on a link. Its methods run on the link's receive goroutine, one at a
// time, and must not block nor wait for the link to end.
type Handler[Req, Resp any] interface {
	// Opened is called once for each stream. fill sets the requests to send on it first; Send works
	// as soon as fill has been called. It is called at most once, before Opened returns. Not
	// calling it is the same as fill().
	Opened(fill func(reqs ...*Req))
	// Received is called for each message.
	Received(*Resp)
	// Broken is called once for each stream that has ended and each dial that has failed. It
	// reports whether to dial again, and what to wait at least before that; the link may wait
	// longer. Broken is also called when the link's context ends, with an error that says so, once
	// more if it had just asked for a redial; there is none then. It is not called because of Stop
	// or Close.
	Broken(err error) (redial bool, wait time.Duration)
}

// Options change how a link behaves. The zero value redials without any wait and does not linger.
type Options struct {
	// Backoff is the wait before a redial. Delay(0) is used after a stream on which something was
	// received.
	Backoff backoff.Policy
	// Linger is how long Stop leaves a half-closed stream for the peer to end. With 0 it is
	// cancelled at once.
	Linger time.Duration
	// Idle, if set, reports whether there is nothing to open a stream for. The link then waits for
	// Wake before it dials. It is called without the link's mutex, on the receive goroutine.
	Idle func() bool
	// Done, if set, is called once when the link has ended and both its goroutines are about to
	// exit.
	Done func()
}

// Link is a logical stream across reconnects. All methods but Start are safe for concurrent use.
type Link[Req, Resp any] struct {
	// Read-only after Start.
	ctx     context.Context // ends with the link
	cancel  context.CancelFunc
	dial    Dial[Req, Resp]
	opts    Options
	handler Handler[Req, Resp]

	// Own synchronisation.
	wake       chan struct{} // capacity 1: something changed for the sender
	work       chan struct{} // capacity 1: Wake was called
	senderDone chan struct{} // closed by the sender
	done       chan struct{} // closed by the receive goroutine, which ends last

	// Guarded by mu.
	mu       sync.Mutex
	current  *attached[Req, Resp] // nil while there is no stream
	queue    []*Req               // to be sent on current
	stopping bool
	linger   *time.Timer // set by Stop
}

// attached is the stream in use.
type attached[Req, Resp any] struct {
	Stream[Req, Resp]
	cancel context.CancelCauseFunc
	mute   bool // nothing can be sent on it any more; guarded by the link's mu
}

// New returns a link that lives until ctx ends. It does nothing before Start.
func New[Req, Resp any](ctx context.Context, dial Dial[Req, Resp], opts Options) *Link[Req, Resp] {
	l := &Link[Req, Resp]{
		dial:       dial,
		opts:       opts,
		wake:       make(chan struct{}, 1),
		work:       make(chan struct{}, 1),
		senderDone: make(chan struct{}),
		done:       make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// Start opens the link. It must be called exactly once, also on a link that was stopped before it
// was started.
func (l *Link[Req, Resp]) Start(h Handler[Req, Resp]) {
	l.handler = h
	// Stopped by Stop, Close, the link's context or Broken returning false, all through l.ctx;
	// Close and Wait wait for it, and it waits for the sender.
	go l.receiveLoop()
	// Stopped through l.ctx, at the latest by the receive goroutine, which waits for it.
	go l.sendLoop()
}

// Send appends requests to what is to be sent on the current stream and returns at once. Without a
// stream they are dropped: the handler's next Opened derives its requests from state.
func (l *Link[Req, Resp]) Send(reqs ...*Req) {
	l.mu.Lock()
	if l.current != nil && !l.current.mute && !l.stopping {
		l.queue = append(l.queue, reqs...)
	}
	l.mu.Unlock()
	l.wakeSender()
}

// Wake makes a link that waits because of Options.Idle call it again.
func (l *Link[Req, Resp]) Wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// Queued returns the number of requests that have not been handed to the stream yet.
func (l *Link[Req, Resp]) Queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// Reconnect gives up the current stream, if there is one: nothing more is received from it, Broken
// is called with reason, and a redial follows as after any break. It returns at once and may be
// called from the handler.
func (l *Link[Req, Resp]) Reconnect(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && !l.stopping {
		l.current.mute = true
		l.current.cancel(reason)
	}
}

// Stop ends the link as gracefully as Options.Linger allows and returns at once. It may be called
// from the handler.
func (l *Link[Req, Resp]) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping {
		return
	}
	l.stopping = true
	if l.current == nil || l.current.mute || l.opts.Linger <= 0 {
		l.cancel()
		return
	}
	l.linger = time.AfterFunc(l.opts.Linger, l.cancel)
	l.wakeSender()
}

// Close ends the link now and waits for its goroutines. It must not be called from the handler, nor
// with a lock held that the handler takes.
func (l *Link[Req, Resp]) Close() {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.cancel()
	l.Wait()
}

// Wait blocks until the link has ended by itself, by Stop or by Close. The link must have been
// started.
func (l *Link[Req, Resp]) Wait() { <-l.done }
