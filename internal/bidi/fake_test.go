package bidi

import (
	"context"
	"io"
	"sync"
	"time"
)

type request struct{ n int }
type response struct{ n int }

// fakeStream is a stream without buffers: Send blocks until the test receives, Recv until the test
// sends.
type fakeStream struct {
	ctx    context.Context
	toPeer chan *request
	toUs   chan *response
	fail   chan error    // Recv returns an error that it receives from here
	half   chan struct{} // closed by CloseSend

	sendErr error // if not nil, Send returns this error
}

func (s *fakeStream) Send(r *request) error {
	if s.sendErr != nil {
		return s.sendErr
	}
	select {
	case s.toPeer <- r:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *fakeStream) Recv() (*response, error) {
	select {
	case r := <-s.toUs:
		return r, nil
	case err := <-s.fail:
		return nil, err
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *fakeStream) CloseSend() error {
	close(s.half)
	return nil
}

// peer opens fake streams. It also sends each of them, in the order of the dials, to the channel
// streams, from which the test receives it.
type peer struct {
	streams chan *fakeStream
	dialErr func(n int) error // returns the error of dial n; nil if no dial fails
	sendErr error             // if not nil, Send of the first stream returns this error

	mu    sync.Mutex
	dials []time.Time
}

func newPeer() *peer { return &peer{streams: make(chan *fakeStream, 1000)} }

func (p *peer) dial(ctx context.Context) (Stream[request, response], error) {
	p.mu.Lock()
	n := len(p.dials)
	p.dials = append(p.dials, time.Now())
	p.mu.Unlock()
	if p.dialErr != nil {
		if err := p.dialErr(n); err != nil {
			return nil, err
		}
	}
	s := &fakeStream{
		ctx: ctx, toPeer: make(chan *request), toUs: make(chan *response),
		fail: make(chan error, 1), half: make(chan struct{}),
	}
	if n == 0 {
		s.sendErr = p.sendErr
	}
	p.streams <- s
	return s, nil
}

func (p *peer) dialCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.dials)
}

// recorder is the handler of a link. It records the calls of its methods.
type recorder struct {
	onOpened   func(fill func(...*request))
	onReceived func(*response)
	onBroken   func(error) (bool, time.Duration)

	mu       sync.Mutex
	opened   int
	received []int
	broken   []error
}

func (h *recorder) Opened(fill func(...*request)) {
	h.mu.Lock()
	h.opened++
	h.mu.Unlock()
	if h.onOpened != nil {
		h.onOpened(fill)
	}
}

func (h *recorder) Received(r *response) {
	h.mu.Lock()
	h.received = append(h.received, r.n)
	h.mu.Unlock()
	if h.onReceived != nil {
		h.onReceived(r)
	}
}

func (h *recorder) Broken(err error) (bool, time.Duration) {
	h.mu.Lock()
	h.broken = append(h.broken, err)
	h.mu.Unlock()
	if h.onBroken != nil {
		return h.onBroken(err)
	}
	return true, 0
}

func (h *recorder) errors() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]error(nil), h.broken...)
}

func (h *recorder) numbers() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]int(nil), h.received...)
}

var _ Stream[request, response] = (*fakeStream)(nil)
var _ Handler[request, response] = (*recorder)(nil)
var errEnded = io.EOF
