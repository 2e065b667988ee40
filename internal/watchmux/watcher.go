package watchmux

import (
	"container/list"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Sink is the consumer's side of a watcher. Created and Deliver are called with the mux's mutex
// held: they must not block and not call the mux. Done is called without the mutex. No method is
// called after [Mux.Cancel] has returned true. If Cancel has returned false, a call of Done may be
// under way.
type Sink interface {
	// Created is called when the server has confirmed the watch for the first time.
	Created(*pb.ResponseHeader)
	// Deliver takes events, or a progress notice if there are no events. It reports whether the
	// consumer's backlog is over its limit; the mux then pauses the watcher until [Mux.Drained].
	Deliver(*pb.ResponseHeader, []*mvccpb.Event) (full bool)
	// Done is called when the watch has ended for another reason than Cancel. It is the last call.
	Done(Final)
}

// Final says why a watch has ended. If Err is nil, the server has ended the watch, and the other
// fields are from the server's last response to the watch.
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

// Watcher is one watch on a mux. The zero value is ready for [Mux.Add], and belongs to the mux
// afterwards. A Watcher can be a field of its sink, so that both are one allocation. It must not be
// copied.
type Watcher struct {
	// MergeBytes makes the mux merge the fragments of a response until their events have this many
	// bytes. If it is 0, the mux delivers each revision as soon as the revision is complete. The
	// field must be set before Add. If the request given to Add does not ask for fragments, the mux
	// sets MergeBytes to 0 when the watcher is paused, or its stream breaks.
	MergeBytes int

	// Read-only after Add.
	spec spec
	sink Sink
	seq  uint64 // orders the watchers of a mux by their calls of Add
	// original is nil, except in a shadow: a second watch that the mux itself creates on the server
	// for an active watcher. There, original is the active watcher.
	original *Watcher

	// Guarded by the mux's mu.
	id        int64 // creating: the id that the create asks for, or 0; active: the watch's id
	next      int64 // the revision to resume from; 0: now
	requested int64 // the start revision of its create on this stream; 0: now
	floor     int64 // the lowest revision whose events the watcher still needs
	created   int64 // the store's revision when the server confirmed the watch on this stream
	partial   *fragments
	place     *list.Element // where the watcher is in the mux's queue; nil if it is not queued
	state     state
	confirmed bool // the sink's Created was called
	retried   bool // its create was refused and is tried once more
	doubted   bool // its create had a watch id and was refused; it is sent again without one
	// early: the watcher uses the watch id of its shadow (a second create for this watcher). The
	// shadow was created from an earlier revision than the watcher needs.
	early         bool
	catchingUp    bool  // created from a past revision, and no progress notice was applied since
	possibleCause bool  // one of its messages may be over the client's limit; see oversize
	heldBack      bool  // paused because of possibleCause; Release resumes it
	large         bool  // its events were large when it was paused last; see largeEvent
	strikes       uint8 // messages over the client's limit that were certainly for this watcher
	// staleNotices: how many of the next progress notices may have been computed before the watch
	// existed. See the type progress.
	staleNotices uint8
}

// spec says what a watcher watches. It has the fields that all create requests of the watcher have
// in common. A watcher keeps its spec instead of a request, because a request takes more memory.
type spec struct {
	key, end       string
	progressNotify bool
	prevKV         bool
	fragment       bool
	noPut          bool
	noDelete       bool
}

func specOf(r *pb.WatchCreateRequest) spec {
	return spec{
		key:            string(r.Key),
		end:            string(r.RangeEnd),
		progressNotify: r.ProgressNotify,
		prevKV:         r.PrevKv,
		fragment:       r.Fragment,
		noPut:          slices.Contains(r.Filters, pb.WatchCreateRequest_NOPUT),
		noDelete:       slices.Contains(r.Filters, pb.WatchCreateRequest_NODELETE),
	}
}

// fragments holds events that were received in fragments and are not delivered yet, because their
// revision is incomplete, or because the fragments are to be merged.
type fragments struct {
	events []*mvccpb.Event
	size   int // bytes received since the last delivery; counted only if MergeBytes is set
}

// request returns the create request that resumes w from the revision w.next. It notes the id and
// the revision in w.
func (w *Watcher) request(id int64, fragment bool) *pb.WatchRequest {
	w.id = id
	w.requested, w.floor, w.early = w.next, w.next, false
	return w.create(id, fragment)
}

// create returns a create request for w. It makes a new message each time, because a server in the
// same process may keep or change the message that it has received.
func (w *Watcher) create(id int64, fragment bool) *pb.WatchRequest {
	create := &pb.WatchCreateRequest{
		Key:            []byte(w.spec.key),
		StartRevision:  w.next,
		ProgressNotify: w.spec.progressNotify,
		PrevKv:         w.spec.prevKV,
		WatchId:        id,
		Fragment:       w.spec.fragment || fragment,
	}
	if w.spec.end != "" { // a server in the same process may tell nil from an empty slice
		create.RangeEnd = []byte(w.spec.end)
	}
	if w.spec.noPut {
		create.Filters = append(create.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if w.spec.noDelete {
		create.Filters = append(create.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}
}

// assemble adds the events of a fragment to those of the fragments before it. It returns the events
// to deliver now, and keeps the others. The parameter more says that another fragment follows:
//
//   - If no other fragment follows, assemble returns all events.
//   - While the events have less than MergeBytes bytes, it keeps all of them.
//   - Otherwise it keeps only those of the last revision, which may continue in the next fragment.
func (w *Watcher) assemble(events []*mvccpb.Event, more bool) []*mvccpb.Event {
	p := w.partial
	if p == nil {
		p = new(fragments)
	}
	if w.MergeBytes > 0 {
		p.size += size(events)
	}
	events = append(p.events, events...)
	p.events = events
	switch {
	case !more:
		w.partial = nil
		return events
	case p.size < w.MergeBytes:
		w.partial = p
		return nil
	}
	cut, last := len(events), events[len(events)-1].GetKv().GetModRevision()
	for cut > 0 && events[cut-1].GetKv().GetModRevision() == last {
		cut--
	}
	if cut == 0 {
		w.partial = p
		return nil
	}
	w.partial = &fragments{events: slices.Clone(events[cut:])} // so events[:cut] can be freed
	return events[:cut:cut]
}

// size returns the number of bytes in the keys and values of events.
func size(events []*mvccpb.Event) (n int) {
	for _, e := range events {
		for _, kv := range []*mvccpb.KeyValue{e.GetKv(), e.GetPrevKv()} {
			n += len(kv.GetKey()) + len(kv.GetValue())
		}
	}
	return n
}

// forgetStream resets the fields of w that are about the stream that w was on. It also ends the
// merging of fragments, if the consumer has not asked for fragments.
func (w *Watcher) forgetStream() {
	w.partial, w.doubted = nil, false
	if !w.spec.fragment {
		w.MergeBytes = 0
	}
}

// fresh returns the events whose revisions are w.floor or higher, and does not change the slice.
// Events of lower revisions were delivered before, or lie before the start of the watch. fresh also
// leaves out events without a key-value, and keeps events without a revision.
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

// seen notes that events were delivered: w resumes after the revision of the last event. On the
// current stream, w still takes events of that revision, because the next response may have more of
// them.
func (w *Watcher) seen(events []*mvccpb.Event) {
	var last int64
	for _, e := range events {
		last = max(last, e.GetKv().GetModRevision())
	}
	if last > 0 {
		w.next, w.floor = last+1, max(w.floor, last)
	}
}

// progressed is called when the server has sent all events up to the revision rev. If w has to be
// created again, it then begins at rev+1.
func (w *Watcher) progressed(rev int64) { w.next = max(w.next, rev+1) }

// createdInStep reports whether w was created from "now", or from a revision above the server's
// latest revision. In both cases the server had no past events to send.
func (w *Watcher) createdInStep() bool { return w.requested == 0 || w.requested > w.created }

// queue is a list of watchers. Removing any watcher takes constant time.
type queue struct{ list.List }

func (q *queue) pushBack(w *Watcher) { w.state, w.id, w.place = queued, 0, q.PushBack(w) }

func (q *queue) pushFront(w *Watcher) { w.state, w.id, w.place = queued, 0, q.PushFront(w) }

func (q *queue) remove(w *Watcher) {
	q.Remove(w.place)
	w.place = nil
}

// first returns the first watcher of the queue. The queue must not be empty.
func (q *queue) first() *Watcher { return q.Front().Value.(*Watcher) }

// all returns the watchers of the queue in order.
func (q *queue) all() []*Watcher {
	ws := make([]*Watcher, 0, q.Len())
	for e := q.Front(); e != nil; e = e.Next() {
		ws = append(ws, e.Value.(*Watcher))
	}
	return ws
}
