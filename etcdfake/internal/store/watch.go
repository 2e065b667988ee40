package store

import (
	"bytes"
	"slices"
	"sort"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

const (
	// noWatch is the watch id of responses that belong to no watcher: the response to a create
	// request that was refused, and the response to a progress request.
	noWatch = -1
	// maxBatch is how many revisions one response with past events covers at most. A watcher that
	// starts in the past gets such responses.
	maxBatch = 1000
)

// WatchStream is one watch stream: its watchers, and the queue of responses to send.
type WatchStream struct {
	// read-only after OpenWatch
	store  *Store
	caller Caller // except Lag, which is guarded by store.mu: Request sets it
	wake   func() // called when a response was queued; must not block

	// guarded by store.mu
	watchers map[int64]*watcher
	nextID   int64
	queue    []queued
}

// queued is a response in the queue of a watch stream. The member sends it when the member's lag
// has passed since the time in the field at. The field holds:
//
//   - for a new change: the time of the change
//   - for a response to send at once: the time of queueing minus the lag
//   - for any other response: the time of queueing
type queued struct {
	resp *pb.WatchResponse
	at   time.Time
}

type watcher struct {
	id        int64
	req       *pb.WatchCreateRequest
	key       []byte
	next      int64 // the watcher gets events from this revision on
	compacted bool  // the watcher was cancelled, because its start revision was compacted
	// noProgress makes the next Tick queue no progress notice for the watcher, because the watcher
	// has got events since the last Tick.
	noProgress bool
}

// OpenWatch opens a watch stream. The stream calls wake, without the store's mutex, when it has
// queued a response, which the method Take returns. wake must not block.
func (s *Store) OpenWatch(c Caller, wake func()) *WatchStream {
	s.enter()
	defer s.leave()
	ws := &WatchStream{store: s, caller: c, wake: wake, watchers: make(map[int64]*watcher)}
	s.streams = append(s.streams, ws)
	return ws
}

// Close removes the stream from the store.
func (ws *WatchStream) Close() {
	s := ws.store
	s.enter()
	defer s.leave()
	s.streams = slices.DeleteFunc(s.streams, func(o *WatchStream) bool { return o == ws })
}

// Watchers returns the create requests of the stream's watchers, sorted by watch id.
func (ws *WatchStream) Watchers() []*pb.WatchCreateRequest {
	s := ws.store
	s.enter()
	defer s.leave()
	var reqs []*pb.WatchCreateRequest
	for _, w := range ws.sorted() {
		reqs = append(reqs, w.req)
	}
	return reqs
}

// Take removes responses from the front of the queue and returns them. It stops at the first
// response whose time, queued.at, is later than by. If responses are left in the queue, more is
// true, and next is the time of the first of them.
func (ws *WatchStream) Take(by time.Time) (due []*pb.WatchResponse, next time.Time, more bool) {
	s := ws.store
	s.enter()
	defer s.leave()
	n := 0
	for n < len(ws.queue) && !ws.queue[n].at.After(by) {
		due = append(due, ws.queue[n].resp)
		n++
	}
	ws.queue = ws.queue[n:]
	if len(ws.queue) == 0 {
		ws.queue = nil
		return due, time.Time{}, false
	}
	return due, ws.queue[0].at, true
}

func (ws *WatchStream) push(resp *pb.WatchResponse, at time.Time) {
	ws.queue = append(ws.queue, queued{resp, at})
	ws.store.wake = append(ws.store.wake, ws.wake)
}

func (ws *WatchStream) response(rev, id int64) *pb.WatchResponse {
	return &pb.WatchResponse{Header: ws.store.headerAt(ws.caller, rev), WatchId: id}
}

// Request handles a request of the client. The parameter lag is the current lag of the member that
// serves the stream.
func (ws *WatchStream) Request(req *pb.WatchRequest, lag time.Duration) {
	s := ws.store
	s.enter()
	defer s.leave()
	ws.caller.Lag = lag
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		if r.CreateRequest != nil {
			ws.create(r.CreateRequest)
		}
	case *pb.WatchRequest_CancelRequest:
		if r.CancelRequest != nil {
			ws.cancel(r.CancelRequest.WatchId)
		}
	case *pb.WatchRequest_ProgressRequest:
		ws.progress(noWatch, ws.sorted()...)
	}
}

func (ws *WatchStream) past() time.Time { return ws.store.cfg.Now().Add(-ws.caller.Lag) }

func (ws *WatchStream) create(req *pb.WatchCreateRequest) {
	s := ws.store
	view := s.viewOf(ws.caller)
	resp := ws.response(view, noWatch)
	resp.Created = true
	w := &watcher{req: req, key: req.Key, noProgress: !req.ProgressNotify}
	if len(w.key) == 0 {
		w.key = []byte{0}
	}
	if reason := ws.refuse(w); reason != "" {
		resp.Canceled, resp.CancelReason = true, reason
		ws.push(resp, ws.past())
		return
	}
	w.id = ws.newID(req.WatchId)
	resp.WatchId = w.id
	ws.watchers[w.id] = w
	ws.push(resp, ws.past())
	w.next = req.StartRevision
	if w.next == 0 {
		w.next = view + 1
	}
	ws.catchUp(w, view)
}

// refuse returns the reason why the watcher w must not be created. It returns "" if w may be
// created.
func (ws *WatchStream) refuse(w *watcher) string {
	s := ws.store
	if w.req.StartRevision < 0 {
		return rpctypes.ErrCompacted.Error()
	}
	who, err := s.identify(ws.caller)
	if err == nil {
		err = s.auth.mayRead(who, w.key, w.req.RangeEnd)
	}
	switch {
	case err != nil:
		return err.Error()
	case len(w.req.RangeEnd) > 0 && !openEnd(w.req.RangeEnd) &&
		bytes.Compare(w.key, w.req.RangeEnd) >= 0:
		return "mvcc: watcher range is empty"
	case w.req.WatchId != 0 && ws.watchers[w.req.WatchId] != nil:
		return "mvcc: duplicate watch ID provided on the WatchStream"
	}
	return ""
}

func (ws *WatchStream) newID(asked int64) int64 {
	if asked != 0 {
		return asked
	}
	for ws.watchers[ws.nextID] != nil {
		ws.nextID++
	}
	ws.nextID++
	return ws.nextID - 1
}

// catchUp queues the events that a new watcher has missed. If the watcher's start revision has been
// compacted, catchUp queues the cancellation of the watcher and no events.
//
// view is the newest revision that the member shows, given its lag. Up to this revision, events are
// queued in batches of many revisions. Each later revision gets a response of its own.
func (ws *WatchStream) catchUp(w *watcher, view int64) {
	kv := &ws.store.kv
	if w.next <= view && w.next < kv.compacted {
		w.compacted = true
		resp := ws.response(0, w.id) // as in etcd, the header of this response has no revision
		resp.Canceled, resp.CompactRevision = true, kv.compacted
		ws.push(resp, ws.past())
		return
	}
	var batch []*mvccpb.Event
	revisions, last := 0, int64(0)
	flush := func(rev int64, at time.Time) {
		ws.send(w, rev, batch, at)
		batch, revisions = nil, 0
	}
	changes := kv.since(w.next)
	behind := sort.Search(len(changes), func(i int) bool { return changes[i].main > view })
	for _, e := range changes[:behind] {
		if !within(e.kv.Key, w.key, w.req.RangeEnd) {
			continue
		}
		if e.main != last {
			if revisions == maxBatch {
				flush(view, ws.past())
			}
			last = e.main
			revisions++
		}
		batch = append(batch, w.event(kv, e))
	}
	flush(view, ws.past())
	w.next = max(w.next, view+1)
	for rest := changes[behind:]; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].main == rest[0].main {
			n++
		}
		ws.deliver(w, rest[0].main, rest[:n])
		rest = rest[n:]
	}
}

// notify queues the events of a committed revision.
func (ws *WatchStream) notify(rev int64, changes []*entry) {
	for _, w := range ws.sorted() {
		ws.deliver(w, rev, changes)
	}
}

func (ws *WatchStream) deliver(w *watcher, rev int64, changes []*entry) {
	if w.compacted || rev < w.next {
		return
	}
	var events []*mvccpb.Event
	for _, e := range changes {
		if within(e.kv.Key, w.key, w.req.RangeEnd) {
			events = append(events, w.event(&ws.store.kv, e))
		}
	}
	ws.send(w, rev, events, changes[0].at)
	w.next = rev + 1
}

// event returns the event that a watcher gets for a change. If the watcher asks for previous
// values, the event has the key's value before the change. It has none if the revision before the
// change is below the compacted revision.
func (w *watcher) event(kv *keyspace, e *entry) *mvccpb.Event {
	ev := &mvccpb.Event{Kv: e.kv}
	if e.deleted {
		ev.Type = mvccpb.Event_DELETE
	}
	if w.req.PrevKv && (e.deleted || e.kv.CreateRevision != e.main) && e.main-1 >= kv.compacted {
		ev.PrevKv = kv.get(e.kv.Key, e.main-1)
	}
	return ev
}

// send queues the events that the watcher's filters let through, in fragments if the watcher has
// asked for fragments.
func (ws *WatchStream) send(w *watcher, rev int64, events []*mvccpb.Event, at time.Time) {
	events = slices.DeleteFunc(events, func(ev *mvccpb.Event) bool {
		filter := pb.WatchCreateRequest_NOPUT
		if ev.Type == mvccpb.Event_DELETE {
			filter = pb.WatchCreateRequest_NODELETE
		}
		return slices.Contains(w.req.Filters, filter)
	})
	if len(events) == 0 {
		return
	}
	w.noProgress = true
	resp := ws.response(rev, w.id)
	resp.Events = events
	if !w.req.Fragment {
		ws.push(resp, at)
		return
	}
	for _, fragment := range fragments(resp) {
		ws.push(fragment, at)
	}
}

// cancel ends a watcher. It does nothing if no watcher has the id.
func (ws *WatchStream) cancel(id int64) {
	if ws.watchers[id] == nil {
		return
	}
	delete(ws.watchers, id)
	resp := ws.response(ws.store.viewOf(ws.caller), id)
	resp.Canceled = true
	ws.push(resp, ws.store.cfg.Now())
}

// progress queues a progress notice with the given watch id. It queues nothing:
//
//   - if it is called without watchers
//   - if a watcher starts at a revision that is not reached yet
//   - if a watcher was cancelled by a compaction
func (ws *WatchStream) progress(id int64, watchers ...*watcher) {
	rev := ws.store.kv.rev
	for _, w := range watchers {
		if w.compacted || rev < w.req.StartRevision {
			return
		}
	}
	if len(watchers) > 0 {
		ws.push(ws.response(rev, id), ws.store.cfg.Now())
	}
}

// Tick queues a progress notice for each watcher that has asked for periodic progress notices and
// has got no event since the last Tick.
func (ws *WatchStream) Tick() {
	s := ws.store
	s.enter()
	defer s.leave()
	for _, w := range ws.sorted() {
		if !w.req.ProgressNotify {
			continue
		}
		if !w.noProgress {
			ws.progress(w.id, w)
		}
		w.noProgress = false
	}
}

func (ws *WatchStream) sorted() []*watcher {
	watchers := make([]*watcher, 0, len(ws.watchers))
	for _, w := range ws.watchers {
		watchers = append(watchers, w)
	}
	slices.SortFunc(watchers, func(a, b *watcher) int { return int(a.id - b.id) })
	return watchers
}
