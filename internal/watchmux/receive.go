package watchmux

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// noHeader is put into a response that has no header, so that consumers need not check for nil.
var noHeader = &pb.ResponseHeader{}

// Received implements bidi.Handler. It handles one response.
func (m *Mux) Received(resp *pb.WatchResponse) {
	m.mu.Lock()
	defer m.unlock()
	if !m.open || m.closed {
		return
	}
	if resp.Header == nil {
		resp = proto.Clone(resp).(*pb.WatchResponse) // a server in this process may still use resp
		resp.Header = noHeader
	}
	m.progress.latest = max(m.progress.latest, resp.Header.Revision)
	switch {
	case resp.Created:
		m.createdLocked(resp)
	case resp.WatchId < 0:
		if !resp.Canceled && len(resp.Events) == 0 {
			m.noticeLocked(resp)
		}
	default:
		if w := m.active[resp.WatchId]; w != nil {
			m.updateLocked(w, resp)
		} else if resp.Canceled {
			m.cancelledLocked(resp.WatchId)
		}
	}
}

// finalOf returns the Final of a watch that the server has ended with resp.
func finalOf(resp *pb.WatchResponse) Final {
	return Final{Header: resp.Header, CompactRevision: resp.CompactRevision,
		Reason: resp.CancelReason}
}

// createdLocked handles the answer to a create request.
func (m *Mux) createdLocked(resp *pb.WatchResponse) {
	if resp.Canceled || resp.WatchId < 0 {
		m.refusedLocked(resp)
		m.advanceLocked()
		return
	}
	w := m.answeredLocked(resp.WatchId)
	if w == nil {
		m.strayLocked(resp.WatchId)
		return
	}
	switch {
	case w.original != nil:
		m.shadowCreatedLocked(w, resp)
	case w.state == abandoned:
		m.sendCancelLocked(resp.WatchId)
	default:
		m.activateLocked(w, resp)
	}
	m.settleLocked()
	m.advanceLocked()
}

// activateLocked makes w active under the id that the server has confirmed. For a watch from "now",
// the response says which revision "now" is. So w can resume from the revision after "now", even if
// the stream breaks before any event.
func (m *Mux) activateLocked(w *Watcher, resp *pb.WatchResponse) {
	w.state, w.id, w.retried = active, resp.WatchId, false
	w.created = resp.Header.Revision
	w.catchingUp = !w.createdInStep()
	m.active[w.id] = w
	if w.doubted { // the server refused the create with a watch id, and confirmed it without one
		w.doubted, m.ids.mode = false, plain
		m.cfg.Servers.refuse()
	}
	if w.next == 0 && w.created > 0 {
		w.next = w.created + 1
	}
	if !w.confirmed {
		w.confirmed = true
		w.sink.Created(resp.Header)
	}
}

// updateLocked handles a response for one active watcher.
func (m *Mux) updateLocked(w *Watcher, resp *pb.WatchResponse) {
	last := resp.Canceled || resp.CompactRevision != 0
	switch {
	case len(resp.Events) > 0 || w.partial != nil:
		m.eventsLocked(w, resp, last)
	case !last && resp.Header.Revision > 0:
		m.progressLocked(w, resp.Header, true, true)
	}
	if last {
		delete(m.active, w.id)
		if resp.CompactRevision != 0 {
			// etcd counts a watch whose revision is compacted as one that catches up, until the
			// client cancels it. Until then, etcd answers no progress request of the stream.
			m.sendCancelLocked(w.id)
		}
		if !m.compactedEarlyLocked(w, resp.CompactRevision) {
			m.endLocked(w, finalOf(resp))
		}
	}
}

// eventsLocked delivers the events of a response for w. A revision is delivered whole or not at
// all, so only the complete revisions of a fragment are delivered. The parameter last says that the
// watch ends with the response. If it ends in the middle of a fragmented response, the events that
// are not delivered yet are dropped.
func (m *Mux) eventsLocked(w *Watcher, resp *pb.WatchResponse, last bool) {
	w.staleNotices = 0
	m.progress.mark = 0 // the notice that set mark proves nothing, because an event has followed it
	if last && (resp.Fragment || w.partial != nil) {
		return
	}
	events := resp.Events
	if resp.Fragment || w.partial != nil {
		events = w.assemble(events, resp.Fragment)
	}
	if events = w.fresh(events); len(events) == 0 {
		return
	}
	full := w.sink.Deliver(resp.Header, events)
	w.seen(events)
	if full && !last {
		w.large = size(events) >= largeEvent*len(events)
		m.pauseLocked(w)
	}
}

// pauseLocked cancels w on the server and pauses w until its consumer has read the backlog.
func (m *Mux) pauseLocked(w *Watcher) {
	m.cancelLocked(w)
	w.state = paused
	w.forgetStream()
	m.paused[w] = struct{}{}
}
