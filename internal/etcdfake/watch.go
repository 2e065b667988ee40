package etcdfake

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// noWatchID is the id of responses that belong to no watcher: failed creates and progress of the
// whole stream.
const noWatchID = -1

// fragmentEvents is how many events a fragment holds, so that tests with few events have several.
const fragmentEvents = 2

// watchSession is one watch stream. Its receiver changes the table of watchers and queues the
// answers; its sender looks for events of each watcher whenever it is woken. Its fields share the
// mutex of the state, so that both see one revision.
type watchSession struct {
	// read-only after serveWatch
	server *Server
	ctx    context.Context
	wake   chan struct{} // holds one token; sent to by the receiver

	// guarded by server.state.mu
	watchers map[int64]*watcher
	order    []int64 // of watchers, by creation
	behind   []int64 // those created since the last look at the events
	seen     int64   // the revision of the last look
	nextID   int64
	control  []*pb.WatchResponse
	progress bool // was requested
}

type watcher struct {
	req  *pb.WatchCreateRequest
	id   int64
	next int64 // revision of the next event it may get
	idle bool  // nothing was sent since the last progress tick
}

// serveWatch is the default watch stream, on the keys of the server's state.
func (s *Server) serveWatch(
	ctx context.Context, recv func() (*pb.WatchRequest, error), send func(*pb.WatchResponse) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watchSession{server: s, ctx: ctx, wake: make(chan struct{}, 1),
		watchers: make(map[int64]*watcher)}
	received := make(chan error, 1)
	// Ends when recv fails, which it does once the stream is over. Server.Stop waits for it; the
	// sender does not, because the stream ends only after it has returned.
	s.running.Go(func() {
		if err := w.receive(recv); err != nil {
			received <- err
		}
	})
	return w.send(send, received)
}

// receive takes requests until the stream ends; a half-close is no error, and the watchers go on
// after it, as in etcd.
func (w *watchSession) receive(recv func() (*pb.WatchRequest, error)) error {
	for {
		req, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.server.state.lock()
		w.requestLocked(req)
		w.server.state.mu.Unlock()
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watchSession) requestLocked(req *pb.WatchRequest) {
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		w.createLocked(r.CreateRequest)
	case *pb.WatchRequest_CancelRequest:
		if id := r.CancelRequest.WatchId; w.watchers[id] != nil {
			w.removeLocked(id)
			w.control = append(w.control, &pb.WatchResponse{Header: w.headerLocked(), WatchId: id,
				Canceled: true})
		}
	case *pb.WatchRequest_ProgressRequest:
		w.progress = true
	}
}

func (w *watchSession) createLocked(req *pb.WatchCreateRequest) {
	resp := &pb.WatchResponse{Header: w.headerLocked(), Created: true}
	w.control = append(w.control, resp)
	id := req.WatchId
	if w.server.opts.ownWatchIDs {
		id = 0
	}
	if err := w.refuseLocked(req, id); err != "" {
		resp.WatchId, resp.Canceled, resp.CancelReason = noWatchID, true, err
		return
	}
	for id == 0 && w.watchers[w.nextID] != nil {
		w.nextID++
	}
	if id == 0 {
		id = w.nextID
		w.nextID++
	}
	next := req.StartRevision
	if next == 0 {
		next = w.server.state.kv.rev + 1
	}
	w.watchers[id] = &watcher{req: req, id: id, next: next, idle: true}
	w.order = append(w.order, id)
	w.behind = append(w.behind, id)
	resp.WatchId = id
}

// refuseLocked gives the reason why a watch is not created, or "".
func (w *watchSession) refuseLocked(req *pb.WatchCreateRequest, id int64) string {
	if err := w.server.state.auth.check(w.ctx); err != nil {
		return err.Error()
	}
	switch {
	case req.StartRevision < 0:
		return rpctypes.ErrCompacted.Error()
	case len(req.RangeEnd) > 0 && !bytes.Equal(req.RangeEnd, []byte{0}) &&
		bytes.Compare(req.Key, req.RangeEnd) >= 0:
		return "mvcc: watcher range is empty"
	case id != 0 && w.watchers[id] != nil:
		return "mvcc: duplicate watch ID provided on the WatchStream"
	}
	return ""
}

func (w *watchSession) removeLocked(id int64) {
	delete(w.watchers, id)
	w.order = slices.DeleteFunc(w.order, func(other int64) bool { return other == id })
}

func (w *watchSession) headerLocked() *pb.ResponseHeader { return w.server.headerLocked() }

// send sends what there is, and waits for more until the stream ends.
func (w *watchSession) send(send func(*pb.WatchResponse) error, received <-chan error) error {
	tick := time.NewTicker(w.server.opts.progressInterval)
	defer tick.Stop()
	ticked := false
	expiry := time.NewTimer(0)
	defer expiry.Stop()
	for {
		responses, changed, next := w.collect(ticked)
		expiry.Reset(next)
		for _, resp := range responses {
			if err := send(resp); err != nil {
				return err
			}
		}
		ticked = false
		select {
		case <-w.wake:
		case <-changed:
		case <-expiry.C:
		case <-tick.C:
			ticked = true
		case err := <-received:
			return err
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

// collect takes all responses that are due. There may be more when the channel is closed, or after
// the time, when a lease expires.
func (w *watchSession) collect(tick bool) ([]*pb.WatchResponse, <-chan struct{}, time.Duration) {
	st := w.server.state
	st.lock()
	defer st.mu.Unlock()
	responses := w.control
	w.control = nil
	ids := w.behind
	if w.seen != st.kv.rev {
		ids = slices.Clone(w.order)
	}
	w.behind, w.seen = nil, st.kv.rev
	for _, id := range ids {
		if wt := w.watchers[id]; wt != nil {
			responses = append(responses, w.eventsLocked(wt)...)
		}
	}
	if tick {
		responses = append(responses, w.tickLocked()...)
	}
	if w.progress {
		w.progress = false
		responses = append(responses, &pb.WatchResponse{Header: w.headerLocked(),
			WatchId: noWatchID})
	}
	return responses, st.changed, st.untilExpiryLocked()
}

// eventsLocked returns a watcher's new events and moves it behind them; a watcher below the
// compaction is cancelled.
func (w *watchSession) eventsLocked(wt *watcher) []*pb.WatchResponse {
	kv := &w.server.state.kv
	if wt.next > kv.rev {
		return nil
	}
	if wt.next < kv.compacted {
		w.removeLocked(wt.id)
		resp := &pb.WatchResponse{Header: w.server.header(), WatchId: wt.id, Canceled: true,
			CompactRevision: kv.compacted}
		return []*pb.WatchResponse{resp} // etcd gives it no revision either
	}
	var events []*mvccpb.Event
	for _, ev := range kv.eventsFrom(wt.next) {
		if wt.wants(ev) {
			events = append(events, wt.view(kv, ev))
		}
	}
	wt.next = kv.rev + 1
	if len(events) == 0 {
		return nil
	}
	wt.idle = false
	return w.split(wt, events)
}

// split makes one response of events, or several fragments where the watcher allows them.
func (w *watchSession) split(wt *watcher, events []*mvccpb.Event) []*pb.WatchResponse {
	var responses []*pb.WatchResponse
	size := len(events)
	if wt.req.Fragment {
		size = fragmentEvents
	}
	for chunk := range slices.Chunk(events, size) {
		responses = append(responses, &pb.WatchResponse{Header: w.headerLocked(), WatchId: wt.id,
			Events: chunk, Fragment: true})
	}
	responses[len(responses)-1].Fragment = false
	return responses
}

// tickLocked is the periodic progress of the watchers that asked for it and were idle.
func (w *watchSession) tickLocked() []*pb.WatchResponse {
	var responses []*pb.WatchResponse
	for _, id := range w.order {
		wt := w.watchers[id]
		if wt.req.ProgressNotify && wt.idle {
			responses = append(responses, &pb.WatchResponse{Header: w.headerLocked(), WatchId: id})
		}
		wt.idle = true
	}
	return responses
}

func (wt *watcher) wants(ev *mvccpb.Event) bool {
	filter := pb.WatchCreateRequest_NOPUT
	if ev.Type == mvccpb.Event_DELETE {
		filter = pb.WatchCreateRequest_NODELETE
	}
	key := wt.req.Key
	if len(key) == 0 {
		key = []byte{0}
	}
	return inRange(ev.Kv.Key, key, wt.req.RangeEnd) && !slices.Contains(wt.req.Filters, filter)
}

// view is the event as the watcher sees it. What the key was at the revision before is gone once
// that is compacted.
func (wt *watcher) view(kv *store, ev *mvccpb.Event) *mvccpb.Event {
	if !wt.req.PrevKv || ev.Kv.ModRevision <= kv.compacted {
		return ev
	}
	prev := kv.get(string(ev.Kv.Key), ev.Kv.ModRevision-1)
	return &mvccpb.Event{Type: ev.Type, Kv: ev.Kv, PrevKv: prev}
}
