package canned

import (
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// watchers are the watches of one stream. One goroutine receives and another sends: the server goes
// on receiving while the client sends many requests and reads no answers.
type watchers struct {
	stream grpc.ServerStream
	ends   *sync.Map // maps the key of a watch to the revision of its last event

	// wake has room for one value, which tells the sending goroutine to call next again.
	wake chan struct{}

	mu       sync.Mutex
	replies  []frame
	feeds    []*feed
	ids      []int64
	revision int64
	stopped  bool
}

// watch confirms watches, and sends the events that a watch asks for, until the client ends the
// stream.
func watch(stream grpc.ServerStream, ends *sync.Map) error {
	w := &watchers{stream: stream, ends: ends, revision: revision, wake: make(chan struct{}, 1)}
	sent := make(chan error, 1)
	// Ends when stop is called or the stream ends; watch waits.
	go func() { sent <- w.sendAll() }()
	err := w.receiveAll()
	w.stop()
	if sendErr := <-sent; endOfStream(err) == nil && sendErr != nil {
		return sendErr
	}
	return err
}

func (w *watchers) receiveAll() error {
	for {
		var req pb.WatchRequest
		if err := receive(w.stream, &req); err != nil {
			return err
		}
		if err := w.handle(&req); err != nil {
			return err
		}
	}
}

func (w *watchers) handle(req *pb.WatchRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wakeSender()
	switch {
	case req.GetCreateRequest() != nil:
		return w.createLocked(req.GetCreateRequest())
	case req.GetCancelRequest() != nil:
		w.cancelLocked(req.GetCancelRequest().WatchId)
	case req.GetProgressRequest() != nil:
		w.replyLocked(&pb.WatchResponse{WatchId: -1})
	}
	return nil
}

func (w *watchers) wakeSender() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watchers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.wakeSender()
}

func (w *watchers) replyLocked(answer *pb.WatchResponse) {
	answer.Header = header()
	answer.Header.Revision = w.revision
	w.replies = append(w.replies, marshal(answer))
}

func (w *watchers) createLocked(req *pb.WatchCreateRequest) error {
	id := req.WatchId
	if id == 0 && len(w.ids) > 0 {
		id = slices.Max(w.ids) + 1
	}
	w.ids = append(w.ids, id)
	w.replyLocked(&pb.WatchResponse{WatchId: id, Created: true})
	f, err := newFeed(string(req.Key), id)
	if f == nil || err != nil {
		return err
	}
	w.startLocked(f, req.StartRevision)
	return nil
}

// startLocked starts to send the events of the feed f. If the client had cancelled a watch of the
// same key and asks for the revision from, startLocked sends only the events from this revision on.
func (w *watchers) startLocked(f *feed, from int64) {
	spreads := func(other *feed) bool { return other.spread }
	if f.spread && slices.ContainsFunc(w.feeds, spreads) {
		return
	}
	end, known := w.ends.Load(f.key)
	if from > 0 && known {
		f.left = int(end.(int64)-from+1) / f.events
		w.revision = from - 1
	} else {
		w.ends.Store(f.key, w.revision+int64(f.left*f.events))
	}
	w.feeds = append(w.feeds, f)
}

func (w *watchers) cancelLocked(id int64) {
	w.ids = slices.DeleteFunc(w.ids, func(other int64) bool { return other == id })
	w.feeds = slices.DeleteFunc(w.feeds, func(f *feed) bool { return !f.spread && f.id == id })
	w.replyLocked(&pb.WatchResponse{WatchId: id, Canceled: true})
}

// sendAll sends what next returns until stop is called or the stream ends.
func (w *watchers) sendAll() error {
	for {
		message, due, stopped := w.next(time.Now())
		if stopped {
			return nil
		}
		if message == nil {
			if err := w.wait(due); err != nil {
				return err
			}
			continue
		}
		if err := w.stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

// next returns the next message to send. If there is none yet, the result due is the time at which
// the sending goroutine must call next again. If due is zero, the sending goroutine waits for
// w.wake.
func (w *watchers) next(now time.Time) (message frame, due time.Time, stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.replies) > 0 {
		message, w.replies = w.replies[0], w.replies[1:]
		return message, due, w.stopped
	}
	for i, f := range w.feeds {
		if f.left == 0 {
			w.feeds = slices.Delete(w.feeds, i, i+1)
			return nil, now, w.stopped
		}
		to, ok := f.target(w.ids)
		if !ok {
			continue
		}
		if f.due.After(now) {
			if due.IsZero() || f.due.Before(due) {
				due = f.due
			}
			continue
		}
		message = f.fill(to, w.revision+1, now)
		w.revision += int64(f.events)
		return message, due, w.stopped
	}
	return nil, due, w.stopped
}

// wait returns at the time due, when another goroutine sends to w.wake, or when the stream ends. If
// due is zero, wait has no time limit.
func (w *watchers) wait(due time.Time) error {
	var timer <-chan time.Time
	if !due.IsZero() {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-w.wake:
		return nil
	case <-timer:
		return nil
	case <-w.stream.Context().Done():
		return w.stream.Context().Err()
	}
}
