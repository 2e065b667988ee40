package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOutstanding is how many stale progress notices etcd may send after it has confirmed a watch. A
// notice is stale if etcd computed it before the watch existed. etcd queues 128 responses per
// stream, hands one more to the transport, and drops notices that find no room.
const maxOutstanding = 129

// progress counts the progress requests of a stream and the notices that answer them. The server
// answers each request with at most one notice, in order. While a watcher of the stream receives
// past events, the server answers no request. So a notice may be the answer to any request that is
// still unanswered.
//
// The server may compute a notice before a watch exists, and send it after it has confirmed the
// watch. Such a notice is stale: if the watcher resumed after the notice's revision, it would lose
// events. So each watcher counts in staleNotices how many of the next notices may be stale:
//
//   - The count begins as the number of progress requests that were unanswered when the watcher's
//     create was sent.
//   - Each notice lowers the count by one.
//   - The count becomes zero when an event for the watcher arrives, or a notice of a later revision
//     than that of the confirmation. The server sends all stale notices before these.
//
// While staleNotices is not zero, the watcher ignores only the notices that could make it lose
// events. These have at least the revision from which the watch was created. If it ignored the
// others, too, a request that is never answered could hide notices from the consumer for long.
type progress struct {
	unanswered int  // progress requests that the server may still answer
	user       int  // how many of the next notices are shown to consumers
	wanted     bool // a progress request of a consumer could not be sent yet
	newest     bool // the last request handed to the link was a progress request
	notices    int  // how many answers to progress requests were received on this stream

	latest int64 // the highest revision in a header on this stream

	order   orderTest
	ordered bool // proven: the server sends a notice only after all events up to its revision
	// mark is the revision of an earlier progress notice that no event has followed, or 0. It is
	// used while ordered is false. If nothing was received for a second after that notice, the next
	// notice shows that the server has sent all events up to mark. Watchers then resume after mark.
	mark  int64
	quiet bool // nothing was received for a second after the notice that set mark
}

// RequestProgress asks the server for a progress notice to all watchers. The request is sent when
// there is a stream and no watcher is queued. RequestProgress returns false, and does nothing, if
// the mux is closed because it has no watcher left.
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

// Live reports whether the mux has any watcher. A mux whose last watcher has left is closed, and no
// watcher can be added to it.
func (m *Mux) Live() bool {
	m.mu.Lock()
	defer m.unlock()
	return !m.closed
}

// Liveness describes the current stream. Its reader decides whether and how to check that the
// stream's server is alive.
type Liveness struct {
	Active        bool // there are active watchers, and the server sends revisions in headers
	Notices       int  // how many answers to progress requests were received
	CreateStalled bool // creates are unanswered
	// WaitsForFuture: a watcher waits for a revision that the store has not reached. etcd answers
	// no progress request on a stream with such a watcher.
	WaitsForFuture bool
	// FallsBehind: a watcher may not have received all events up to the latest revision that the
	// stream has shown.
	FallsBehind bool
	// CatchesUp: a watcher that began in the past may not have all past events yet. etcd answers no
	// progress request on a stream with such a watcher.
	CatchesUp bool
	// Untested: the server answers progress requests, but it is not known whether its notices are
	// in order with its events. The mux may test the order again.
	Untested bool
}

// Liveness returns the Liveness of the current stream, or the zero Liveness if there is no stream.
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

// CheckLiveness sends requests that a healthy server answers, and reports whether it sent any.
// Consumers do not see the answers, but watchers resume from later revisions because of them.
//
// If ask is set, CheckLiveness sends a progress request. etcd does not answer it while a watcher of
// the stream waits for a future revision, but always answers a create. So for each such watcher,
// CheckLiveness creates a second watch (a shadow; see the package document). If ask is set, it may
// also create a shadow to test whether the server sends progress notices in order with events.
//
// Set quiet if nothing was received on the stream for a second. The next progress notice then shows
// that the server has sent all events up to the notice before that second. No test of the order is
// needed for this.
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

// requestProgressLocked sends a progress request, unless the last request in the link's queue is
// one that waits to be sent. The parameter user says that a consumer has asked for progress.
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

// noticeLocked handles a progress notice that answers a progress request. Such a notice is about
// all watchers of the stream.
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
	mark := int64(0) // revision up to which the server has sent all events; 0: unknown
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

// progressLocked applies a progress notice to w. If show is set, the consumer receives the notice.
// If move is set, w will resume after the notice's revision. While w is in the middle of a
// fragmented response, progressLocked does nothing.
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
