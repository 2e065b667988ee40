package bidi

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Stream is one stream of a bidirectional RPC, as gRPC's generated clients return it. All methods
// must return when the context of [Dial] ends.
//
// Recv is called on one goroutine, and Send on another. CloseSend is called at most once, on the
// goroutine of Send.
type Stream[Req, Resp any] interface {
	Send(*Req) error
	Recv() (*Resp, error)
	CloseSend() error
}

// Dial opens a stream that lives until ctx ends. It may block until then.
type Dial[Req, Resp any] func(ctx context.Context) (Stream[Req, Resp], error)

// Handler implements the protocol that is spoken on a link. Its methods run on the link's receive
// goroutine, one at a time. They must not block, and must not wait for the link to end.
type Handler[Req, Resp any] interface {
	// Opened is called once for each stream. If there are first requests to send on the stream, the
	// handler passes them to fill. It may call fill once, before Opened returns. [Link.Send] works
	// as soon as fill has been called.
	Opened(fill func(reqs ...*Req))
	// Received is called for each message.
	Received(*Resp)
	// Broken is called once for each stream that has ended and for each dial that has failed. It
	// reports whether to dial again, and the shortest wait before that. The link may wait longer.
	//
	// When the link's context ends, Broken is called with an error that says so. If the link waits
	// to dial again then, this is a second call, and the link does not dial. Stop and Close cause
	// no call of Broken.
	Broken(err error) (redial bool, wait time.Duration)
}

// Options change how a link behaves. With the zero value, the link adds no wait of its own before a
// redial, and does not linger.
type Options struct {
	// Backoff is the wait before a redial. After a stream on which a message was received, the wait
	// starts again at Delay(0).
	Backoff backoff.Policy
	// Linger is how long the peer may take to end a stream that Stop has half-closed. With 0, Stop
	// cancels the stream at once.
	Linger time.Duration
	// Idle, if set, is called before each dial and reports whether no stream is needed now. If so,
	// the link waits for Wake before it calls Idle again. Idle is called on the receive goroutine,
	// without the link's mutex.
	Idle func() bool
	// Done, if set, is called once when the link has ended, on the receive goroutine. The send
	// goroutine has ended then. Wait and Close return only after Done, so Done must not call them.
	Done func()
}

// Link opens one stream after another, as long as its handler wants one. All methods but Start are
// safe for concurrent use.
type Link[Req, Resp any] struct {
	// Read-only after Start.
	ctx     context.Context // ends when the link ends
	cancel  context.CancelFunc
	dial    Dial[Req, Resp]
	opts    Options
	handler Handler[Req, Resp]

	// These channels are used without mu.
	wake       chan struct{} // capacity 1; tells the send goroutine to look at the fields under mu
	work       chan struct{} // capacity 1; tells the receive goroutine that Wake was called
	senderDone chan struct{} // closed by the send goroutine when it ends
	done       chan struct{} // closed by the receive goroutine, which ends last

	// Guarded by mu.
	mu       sync.Mutex
	current  *attached[Req, Resp] // nil while there is no stream
	queue    []*Req               // requests to be sent on current
	stopping bool
	linger   *time.Timer // cancels the context when Options.Linger is over; set by Stop
}

// attached is a stream of a link, with the function that cancels the stream.
type attached[Req, Resp any] struct {
	Stream[Req, Resp]
	cancel context.CancelCauseFunc
	mute   bool // no further request is sent on this stream; guarded by Link.mu
}

// New returns a link that lives until ctx ends. The link does nothing before Start.
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

// Start starts the link with its handler. It must be called exactly once, even on a link that has
// been stopped already, because Wait and Close wait for the link's goroutines.
func (l *Link[Req, Resp]) Start(h Handler[Req, Resp]) {
	l.handler = h
	// This goroutine stops when l.ctx ends or Broken returns false, and after Stop also when the
	// stream ends. Stop, Close and the parent context end l.ctx. Before it stops, it waits for the
	// send goroutine. Close and Wait wait for both.
	go l.receiveLoop()
	// This goroutine stops when l.ctx ends. The receive goroutine ends l.ctx before it exits, and
	// then waits for this goroutine.
	go l.sendLoop()
}

// Send queues requests for the current stream and returns at once. It drops the requests:
//
//   - if there is no stream: the handler derives the first requests for the next stream from its
//     state
//   - after Reconnect, or after an error of the stream's Send
//   - while the link is stopping
func (l *Link[Req, Resp]) Send(reqs ...*Req) {
	l.mu.Lock()
	if l.current != nil && !l.current.mute && !l.stopping {
		l.queue = append(l.queue, reqs...)
	}
	l.mu.Unlock()
	signal(l.wake)
}

// Wake makes the link call Options.Idle again, if the link waits because Idle has returned true.
func (l *Link[Req, Resp]) Wake() { signal(l.work) }

// Queued returns the number of requests that were not handed to the stream yet.
func (l *Link[Req, Resp]) Queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// Reconnect cancels the current stream, if there is one, and returns at once. No further message of
// this stream reaches the handler. Broken is called with reason and decides whether to dial again.
// Reconnect may be called from the handler.
func (l *Link[Req, Resp]) Reconnect(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current != nil && !l.stopping {
		l.current.mute = true
		l.current.cancel(reason)
	}
}

// Stop ends the link and returns at once. It may be called from the handler.
//
// The link first sends the queued requests and half-closes the stream. Then the peer has
// Options.Linger to end the stream. If there is no stream, or Options.Linger is 0, Stop cancels the
// link's context at once.
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
	signal(l.wake)
}

// Close ends the link at once, without the wait of Options.Linger, and waits for the link's
// goroutines. It must not be called from the handler, nor with a lock held that the handler takes.
func (l *Link[Req, Resp]) Close() {
	l.mu.Lock()
	l.stopping = true
	l.mu.Unlock()
	l.cancel()
	l.Wait()
}

// Wait blocks until the link has ended. The link must have been started.
func (l *Link[Req, Resp]) Wait() { <-l.done }
