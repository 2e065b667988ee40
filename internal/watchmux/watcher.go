package watchmux

import (
	"container/list"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Sink is the consumer's side of a watcher. Created and Deliver are called with the mux's mutex
// held: they must not block and not call the mux. Done is called without it, once, after all other
// calls; nothing is called once [Mux.Cancel] has returned true, but for a call of Done that is
// under way.
type Sink interface {
	// Created is called when the server has confirmed the watch for the first time.
	Created(*pb.ResponseHeader)
	// Deliver hands over events, or a progress notice if there are none. It reports whether the
	// consumer's backlog is over its limit; the mux then pauses the watcher until [Mux.Drained].
	Deliver(*pb.ResponseHeader, []*mvccpb.Event) (full bool)
	// Done is called when the watch has ended by other means than Cancel.
	Done(Final)
}

// Final is why a watch ended. Either Err is set, or the server cancelled the watch and the other
// fields are from its response.
type Final struct {
	Err             error
	Header          *pb.ResponseHeader
	CompactRevision int64
	Reason          string
}

type state uint8

const (
	queued state = iota
	creating
	active
	paused
	abandoned
	done
)

// Watcher is one watch on a mux. The zero value is ready for [Mux.Add], which takes it over; it can
// be part of its sink, so that the two cost one allocation. It must not be copied.
type Watcher struct {
	// MergeBytes is the size up to which fragments are put together again. With 0, each revision
	// is delivered as soon as it is complete. It is set before Add. If the template does not ask
	// for fragments, it counts for the first stream only.
	MergeBytes int

	// Read-only after Add.
	template *pb.WatchCreateRequest // its StartRevision and WatchId are not used
	sink     Sink
	seq      uint64   // the order of Add
	original *Watcher // of a shadow: the watcher that it was made for; a shadow has no sink

	// Guarded by the mux's mu.
	state     state
	confirmed bool // Created was called
	retried   bool // its create was refused and is tried once more
	// the number of progress notices that may be older than the watch; see progress
	staleNotices uint8
	id           int64 // creating: the id asked for, or 0; active: the id
	next         int64 // the revision to resume from; 0: now
	requested    int64 // the revision asked for on this stream; 0: now
	floor        int64 // events below were delivered, or were not asked for
	created      int64 // the revision of the confirmation on this stream
	// received in fragments and not delivered: an incomplete revision, or what is merged
	partial []*mvccpb.Event
	// the size of what was received into partial; counted where MergeBytes is set
	merged        int
	doubted       bool // its create was refused with options, and is tried without
	possibleCause bool // may be the one whose messages are over the limit
	heldBack      bool // paused as a possible cause, until Release
	strikes       int  // messages over the limit while it was the only possible cause
	catchingUp    bool // created from the past, and no notice has come for it since
	// requested is what a shadow was created from, not the revision needed
	early bool
	place *list.Element // in the queue
}

// request makes the create request that resumes w, and notes what it asks for.
func (w *Watcher) request(id int64, fragment bool) *pb.WatchRequest {
	w.id = id
	w.requested, w.floor, w.early = w.next, w.next, false
	return w.create(id, fragment)
}

// create makes a create request for w. Each is a message of its own: an in-process server may keep
// or change what it was sent.
func (w *Watcher) create(id int64, fragment bool) *pb.WatchRequest {
	t := w.template
	create := &pb.WatchCreateRequest{
		Key:            t.Key,
		RangeEnd:       t.RangeEnd,
		StartRevision:  w.next,
		ProgressNotify: t.ProgressNotify,
		Filters:        t.Filters,
		PrevKv:         t.PrevKv,
		WatchId:        id,
		Fragment:       t.Fragment || fragment,
	}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}
}

// assemble adds events to those that were received in fragments, and returns what is to be
// delivered: all where no other fragment follows; otherwise the events before the last revision,
// which may go on in the next fragment, or nothing as long as fragments are merged.
func (w *Watcher) assemble(events []*mvccpb.Event, more bool) []*mvccpb.Event {
	if w.MergeBytes > 0 {
		w.merged += size(events)
	}
	events = append(w.partial, events...)
	switch {
	case !more:
		w.partial, w.merged = nil, 0
		return events
	case w.merged < w.MergeBytes:
		w.partial = events
		return nil
	}
	cut := len(events)
	for cut > 0 && events[cut-1].GetKv().GetModRevision() == events[len(
		events)-1].GetKv().GetModRevision() {
		cut--
	}
	if cut == 0 {
		w.partial = events
		return nil
	}
	w.partial, w.merged = slices.Clone(events[cut:]), 0 // a copy: delivered events can be freed
	return events[:cut:cut]
}

// size is about how many bytes events have.
func size(events []*mvccpb.Event) (n int) {
	for _, e := range events {
		for _, kv := range []*mvccpb.KeyValue{e.GetKv(), e.GetPrevKv()} {
			n += len(kv.GetKey()) + len(kv.GetValue())
		}
	}
	return n
}

// forgetStream drops what is known of the stream that w was on.
func (w *Watcher) forgetStream() {
	w.partial, w.merged, w.doubted = nil, 0, false
	if !w.template.Fragment {
		w.MergeBytes = 0
	}
}

// fresh returns the events that were not delivered before and do not lie before the start of the
// watch. It does not change the slice. It leaves out events without a key-value, and keeps events
// without a revision.
func (w *Watcher) fresh(events []*mvccpb.Event) []*mvccpb.Event {
	stale := func(e *mvccpb.Event) bool {
		rev := e.GetKv().GetModRevision()
		return e.GetKv() == nil || rev != 0 && rev < w.floor
	}
	if !slices.ContainsFunc(events, stale) {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), stale)
}

// seen moves the revisions past events that were delivered. floor stays at the last revision,
// because the next response may have more events of it.
func (w *Watcher) seen(events []*mvccpb.Event) {
	var last int64
	for _, e := range events {
		last = max(last, e.GetKv().GetModRevision())
	}
	if last > 0 {
		w.next, w.floor = last+1, max(w.floor, last)
	}
}

// progressed moves the revision to resume from past rev, of which the server said that all before
// it has been sent.
func (w *Watcher) progressed(rev int64) { w.next = max(w.next, rev+1) }

// createdInStep reports whether the server had nothing to catch up with for w when it created w.
func (w *Watcher) createdInStep() bool { return w.requested == 0 || w.requested > w.created }

// queue holds watchers in order. Any of them is removed in constant time.
type queue struct{ list.List }

func (q *queue) pushBack(w *Watcher) { w.state, w.id, w.place = queued, 0, q.PushBack(w) }

func (q *queue) pushFront(w *Watcher) { w.state, w.id, w.place = queued, 0, q.PushFront(w) }

func (q *queue) remove(w *Watcher) {
	q.Remove(w.place)
	w.place = nil
}

// first returns the first watcher of a queue that is not empty.
func (q *queue) first() *Watcher { return q.Front().Value.(*Watcher) }

// all returns the watchers in order.
func (q *queue) all() []*Watcher {
	ws := make([]*Watcher, 0, q.Len())
	for e := q.Front(); e != nil; e = e.Next() {
		ws = append(ws, e.Value.(*Watcher))
	}
	return ws
}
