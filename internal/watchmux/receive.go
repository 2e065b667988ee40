package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// noHeader stands in for the header of a response that has none, so that consumers need not check.
var noHeader = &pb.ResponseHeader{}

// Received implements bidi.Handler.
func (m *Mux) Received(resp *pb.WatchResponse) {
	m.mu.Lock()
	defer m.unlock()
	if !m.open || m.closed {
		return
	}
	if resp.Header == nil {
		resp = withHeader(resp)
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

// withHeader returns a copy of resp that has a header; resp itself may be shared with an in-process
// server.
func withHeader(resp *pb.WatchResponse) *pb.WatchResponse {
	return &pb.WatchResponse{
		Header: noHeader, WatchId: resp.WatchId, Created: resp.Created, Canceled: resp.Canceled,
		CompactRevision: resp.CompactRevision, CancelReason: resp.CancelReason,
		Fragment: resp.Fragment, Events: resp.Events,
	}
}

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

// activateLocked puts a confirmed watcher into the id table. One that watches from "now" has that
// from here on: whatever happens, it resumes after the revision of the confirmation.
func (m *Mux) activateLocked(w *Watcher, resp *pb.WatchResponse) {
	w.state, w.id, w.retried = active, resp.WatchId, false
	w.created = resp.Header.Revision
	w.catchingUp = !w.createdInStep()
	m.active[w.id] = w
	if w.doubted { // refused with options, and not without
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

// updateLocked handles what the server says about one active watcher.
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
			// until then etcd counts it among the stream's watchers, as one that lags behind: no
			// progress
			m.sendCancelLocked(w.id)
		}
		if !m.compactedEarlyLocked(w, resp.CompactRevision) {
			m.endLocked(w, finalOf(resp))
		}
	}
}

// eventsLocked delivers events, of fragments those whose revision is complete. A revision that the
// end of the watch leaves incomplete is dropped: it comes whole or not at all.
func (m *Mux) eventsLocked(w *Watcher, resp *pb.WatchResponse, last bool) {
	w.staleNotices = 0
	m.progress.mark = 0 // the stream is not quiet
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
		m.pauseLocked(w)
	}
}

// pauseLocked takes w off the server until its consumer has caught up.
func (m *Mux) pauseLocked(w *Watcher) {
	m.cancelLocked(w)
	w.state = paused
	w.forgetStream()
	m.paused[w] = struct{}{}
}
