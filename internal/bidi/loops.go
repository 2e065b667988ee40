package bidi

import (
	"context"
	"errors"
	"io"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// receiveLoop opens one stream after another and receives from it, until the link ends.
func (l *Link[Req, Resp]) receiveLoop() {
	defer l.end()
	for attempt := 0; ; attempt++ {
		received, err := l.serve()
		if received {
			attempt = 0
		}
		if l.isStopping() {
			return
		}
		redial, wait := l.handler.Broken(err)
		if !redial {
			return
		}
		if err := backoff.Wait(l.ctx, max(wait, l.opts.Backoff.Delay(attempt))); err != nil {
			if !l.isStopping() {
				l.handler.Broken(err)
			}
			return
		}
	}
}

// end waits for the send goroutine, calls Options.Done, and wakes the callers of Wait.
func (l *Link[Req, Resp]) end() {
	l.cancel()
	<-l.senderDone
	l.mu.Lock()
	l.stopping = true
	if l.linger != nil {
		l.linger.Stop()
	}
	l.mu.Unlock()
	if l.opts.Done != nil {
		l.opts.Done()
	}
	close(l.done)
}

// serve waits until a stream is needed, dials it, and receives from it until it ends. It reports
// whether a message was received, and returns why the stream ended.
func (l *Link[Req, Resp]) serve() (received bool, err error) {
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	if err := l.awaitWork(); err != nil {
		return false, err
	}
	stream, err := l.dial(ctx)
	if err != nil {
		return false, err
	}
	if l.isStopping() {
		return false, l.ctx.Err()
	}
	st := &attached[Req, Resp]{Stream: stream, cancel: cancel}
	l.handler.Opened(func(reqs ...*Req) { l.attach(st, reqs) })
	l.attach(st, nil)
	defer l.attach(nil, nil)

	for {
		resp, err := st.Recv()
		if ctx.Err() != nil {
			return received, context.Cause(ctx)
		}
		if err != nil {
			return received, err
		}
		if l.isStopping() {
			continue // Stop was called: messages are dropped until the stream ends
		}
		received = true
		l.handler.Received(resp)
	}
}

// awaitWork waits while Options.Idle reports that no stream is needed. It returns an error if the
// link's context ends first.
func (l *Link[Req, Resp]) awaitWork() error {
	for l.opts.Idle != nil && l.opts.Idle() {
		select {
		case <-l.work:
		case <-l.ctx.Done():
			return l.ctx.Err()
		}
	}
	return nil
}

// attach makes st the current stream, and replaces the queued requests by reqs. If st is nil, there
// is no current stream afterwards. If st is the current stream already, attach does nothing.
func (l *Link[Req, Resp]) attach(st *attached[Req, Resp], reqs []*Req) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == st {
		return
	}
	l.current = st
	l.queue = append([]*Req(nil), reqs...)
	if l.stopping {
		l.cancel()
	}
	signal(l.wake)
}

// sendLoop sends the queued requests until the link ends. When the link is stopping and the queue
// is empty, it half-closes the stream.
func (l *Link[Req, Resp]) sendLoop() {
	defer close(l.senderDone)
	for {
		st, req := l.next()
		switch {
		case st == nil:
			select {
			case <-l.wake:
			case <-l.ctx.Done():
				return
			}
		case req == nil:
			_ = st.CloseSend() // an error does not matter: the stream is about to end
		default:
			if err := st.Send(req); err != nil {
				l.sendFailed(st, err)
			}
		}
	}
}

// next returns the current stream and the next request to send on it. If there is nothing to do, st
// is nil.
//
// If only req is nil, the caller must half-close st: the link is stopping, and all queued requests
// have been sent. next returns that only once.
func (l *Link[Req, Resp]) next() (st *attached[Req, Resp], req *Req) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || l.current.mute {
		return nil, nil
	}
	if len(l.queue) > 0 {
		req = l.queue[0]
		l.queue[0] = nil // for the garbage collector
		l.queue = l.queue[1:]
		return l.current, req
	}
	l.queue = nil
	if !l.stopping {
		return nil, nil
	}
	l.current.mute = true
	return l.current, nil
}

// sendFailed handles an error of Send. No further request is sent on st.
//
// If err is io.EOF, the peer has ended the stream, and Recv returns why. Any other error ends the
// stream here, because Recv might not return it. An example is a request over the size limit.
func (l *Link[Req, Resp]) sendFailed(st *attached[Req, Resp], err error) {
	l.mu.Lock()
	st.mute = true
	if l.current == st {
		l.queue = nil
	}
	l.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		st.cancel(err)
	}
}

func (l *Link[Req, Resp]) isStopping() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping
}

// signal puts a value into c, which has a capacity of 1. If c is full, signal does nothing.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
