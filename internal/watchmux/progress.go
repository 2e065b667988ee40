package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOutstanding is the largest number of progress notices that etcd can have computed before it
// created a watch, and send after it has confirmed that watch. etcd queues 128 responses per
// stream, hands one more to the transport, and drops notices that find no room.
const maxOutstanding = 129

// progress counts the progress requests of a stream and their answers. The server answers each
// request with at most one notice, in order, and answers none while a watcher of the stream is
// catching up. So a notice may be the answer to any request that is still unanswered.
//
// A notice that was computed before a watcher existed may arrive after that watcher's confirmation.
// It must not be applied to the watcher, which would then resume after events that it was not sent.
// So each watcher has a number of staleNotices, which begins as the number of requests that were
// unanswered when its create was sent. Each notice lowers it by one. A notice of a later revision
// than the confirmation's sets it to zero, as does any event of the watcher, because the server
// sends notices older than the watch before them. A notice within this number is ignored only if it
// covers revisions that the watcher has yet to receive. Other notices apply, because a request that
// is never answered would otherwise keep notices from the watcher for long.
type progress struct {
	unanswered int  // progress requests that the server may still answer
	user       int  // how many of the next notices may answer a consumer's request
	wanted     bool // a consumer's request could not be sent yet
	newest     bool // the last request handed to the link was a progress request
	notices    int  // how many requested notices were received on this stream

	latest int64 // the highest revision in a header on this stream

	order   orderTest
	ordered bool // proven: the server sends a notice only after all events up to its revision
	// mark is the revision of the last notice, if the stream is not known to be ordered. The notice
	// moves no watcher until a later notice confirms it. 0: there is no such notice.
	mark  int64
	quiet bool // nothing was received for a second after the notice of mark
}

// RequestProgress asks the server for a progress notice to all watchers. The request is sent once
// there is a stream and all queued watchers are created. RequestProgress reports whether the mux
// has any watcher.
func (m *Mux) RequestProgress() bool {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return false
	}
	m.progress.wanted = true
	m.advanceLocked()
	return true
}

// Live reports whether the mux has any watcher. A mux whose last watcher has left never takes
// another.
func (m *Mux) Live() bool {
	m.mu.Lock()
	defer m.unlock()
	return !m.closed
}

// Liveness describes the current stream, for the decision whether and how to check that its server
// is alive.
type Liveness struct {
	Active        bool // the stream has active watchers, and its server sends revisions
	Notices       int  // how many requested notices were received
	CreateStalled bool // creates are unanswered
	// a watcher waits for a revision that the store has not reached; etcd answers no progress
	// request on such a stream
	WaitsForFuture bool
	// a watcher would resume from a revision before the latest that the stream has shown
	FallsBehind bool
	// a watcher from the past may still catch up; etcd answers no progress request meanwhile
	CatchesUp bool
	// the server answers progress requests, and the order of its notices may still be tested
	Untested bool
}

// Liveness returns the Liveness of the current stream, or a zero one if there is no stream.
func (m *Mux) Liveness() (l Liveness) {
	m.mu.Lock()
	defer m.unlock()
	if !m.open || m.closed {
		return l
	}
	p := &m.progress
	l.CreateStalled = len(m.inflight) > 0
	l.Active = len(m.active) > 0 && p.latest > 0
	l.Notices = p.notices
	l.Untested = p.notices > 0 && !p.ordered && p.order.tries < maxOrderTests
	for _, w := range m.active {
		l.WaitsForFuture = l.WaitsForFuture || m.waitsForFutureLocked(w)
		l.CatchesUp = l.CatchesUp || w.catchingUp
		l.FallsBehind = l.FallsBehind || w.next <= p.latest
	}
	return l
}

// CheckLiveness sends requests that a healthy server answers: one for progress if ask is set, and
// creates of shadows if a watcher waits for the future or the order of notices is to be tested. It
// reports whether it sent any. Consumers do not see the answers, but the answers move the revisions
// to resume from. quiet says that nothing was received for a second.
func (m *Mux) CheckLiveness(ask, quiet bool) (sent bool) {
	m.mu.Lock()
	defer m.unlock()
	p := &m.progress
	if !m.open || m.closed || len(m.active) == 0 || p.latest == 0 {
		return false
	}
	test := ask && p.notices > 0 && !p.ordered && p.order.tries < maxOrderTests
	p.quiet = p.mark > 0 && (p.quiet || quiet)
	if m.queue.Len() == 0 && len(m.inflight) == 0 {
		if s := m.shadowsLocked(test); s != nil {
			if test {
				p.order = orderTest{tries: p.order.tries + 1, shadow: s}
			}
			m.advanceLocked()
			sent = true
		}
	}
	if ask {
		m.requestProgressLocked(false)
	}
	return sent || ask
}

// requestProgressLocked sends a progress request; user says that it is for a consumer. It sends no
// second one if the last request in the link's queue is for progress and is not sent yet.
func (m *Mux) requestProgressLocked(user bool) {
	p := &m.progress
	if !p.newest || m.link.Queued() == 0 {
		m.sendLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{
			ProgressRequest: &pb.WatchProgressRequest{}}})
		p.unanswered++
		p.newest = true
	}
	if user {
		p.wanted = false
		// Consumers are shown two notices for one request, because the first may be the answer to
		// an earlier request.
		p.user = min(p.user+2, p.unanswered)
	}
}

// noticeLocked handles a requested notice, which is for all watchers of the stream.
func (m *Mux) noticeLocked(resp *pb.WatchResponse) {
	rev := resp.Header.Revision
	if rev <= 0 {
		return
	}
	p := &m.progress
	user := p.user > 0
	p.user = max(p.user-1, 0)
	p.unanswered = max(p.unanswered-1, 0)
	p.notices++
	p.order.answered = true
	mark := int64(0) // revision of an earlier notice; the server has sent all events up to it
	if !p.ordered && (p.mark == 0 || p.quiet) {
		mark, p.mark, p.quiet = p.mark, rev, false
	}
	for _, w := range m.active {
		if mark > 0 && w.partial == nil && w.createdInStep() {
			w.progressed(mark)
		}
		switch {
		case w.staleNotices == 0:
		case rev > w.created:
			w.staleNotices = 0
		default:
			w.staleNotices--
			if 0 < w.requested && w.requested <= rev {
				continue
			}
		}
		m.progressLocked(w, resp.Header, user, p.ordered)
	}
}

// progressLocked applies a notice to w. If show is set, the consumer receives the notice. If move
// is set, the notice moves the revision to resume from. If w is in the middle of a fragmented
// response, the notice is ignored.
func (m *Mux) progressLocked(w *Watcher, header *pb.ResponseHeader, show, move bool) {
	if w.partial != nil {
		return
	}
	w.catchingUp = false
	if move {
		w.progressed(header.Revision)
	}
	if show && w.sink.Deliver(header, nil) {
		m.pauseLocked(w)
	}
}
