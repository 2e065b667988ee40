package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOutstanding bounds the number of notices that a confirmation can overtake: etcd queues 128
// responses per stream, hands one to the transport, and drops notices that find no room.
const maxOutstanding = 129

// progress counts the progress requests of a stream and their answers. The server answers each with
// at most one notice, in order. It answers none while a watcher of the stream is catching up. So a
// notice may be the answer to any request that is still unanswered.
//
// A notice that was computed before a watcher existed may arrive after that watcher's confirmation.
// It must not be applied to the watcher, which would resume past events that it has not been sent.
// staleNotices of a watcher is the number of requests that were unanswered when its create was
// sent. Each notice lowers it by one. It becomes zero with a notice of a later revision than the
// confirmation's, and with any event, because notices older than the watch precede both. A notice
// is ignored only if it speaks for revisions that the watch is still to be sent: a request that is
// never answered would otherwise hold back notices for long.
type progress struct {
	unanswered int  // requests that may still be answered
	user       int  // how many of the next notices may answer a consumer's request
	wanted     bool // a consumer asked while no request could be sent
	newest     bool // the last request handed to the link was one for progress
	notices    int  // received on this stream

	latest int64 // the latest revision that the stream has shown

	order   orderTest
	ordered bool // proven: the server sends notices only after the events that they speak for
	// of a stream that is not ordered: the revision of a notice that a later one may confirm; 0:
	// none
	mark  int64
	quiet bool // nothing has come for a second since the mark
}

// answered counts a notice, and reports whether it may answer a consumer's request.
func (p *progress) answered() (user bool) {
	user = p.user > 0
	p.user = max(p.user-1, 0)
	p.unanswered = max(p.unanswered-1, 0)
	p.notices++
	p.order.answered = true
	return user
}

// confirmed takes a notice for rev of a stream that is not ordered, and returns the revision that
// it confirms, or 0.
func (p *progress) confirmed(rev int64) (mark int64) {
	if p.mark > 0 && !p.quiet {
		return 0
	}
	mark, p.mark, p.quiet = p.mark, rev, false
	return mark
}

// outstanding returns how many notices may overtake the confirmation of a watch created now.
func (p *progress) outstanding() uint8 { return uint8(min(p.unanswered, maxOutstanding)) }

// RequestProgress asks the server for a progress notice to all watchers. If that is not possible
// at once, because there is no stream or watchers are still queued, it is done as soon as it is. It
// reports whether the mux has any watcher.
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

// Live reports whether the mux has any watcher. Once it has none, it never has one again.
func (m *Mux) Live() bool {
	m.mu.Lock()
	defer m.unlock()
	return !m.closed
}

// Liveness is what a stream has shown of itself.
type Liveness struct {
	Active        bool // a stream has active watchers, and its server sends revisions
	Notices       int  // how many requested notices have come
	CreateStalled bool // creates are unanswered
	// a watcher waits for a revision that the store has not reached; etcd answers no progress
	// request on such a stream
	WaitsForFuture bool
	// a watcher would resume from a revision before the latest that the stream has shown
	FallsBehind bool
	// a watcher from the past may still catch up; etcd answers no progress request meanwhile
	CatchesUp bool
	Untested  bool // the server has answered, and the order of its notices is not known
}

// Liveness returns what the stream has shown of itself.
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

// CheckLiveness sends a request that a server in good health answers, on the mux's own behalf, and
// reports whether it did: one for progress if ask is set, and creates of shadows if there is
// reason for them. Consumers do not see the answers, but these move the revisions to resume from.
// quiet says that nothing has been received for a second.
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

// requestProgressLocked sends a progress request. If the last request is one that the link has not
// sent yet, it sends no other: that one serves both.
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
		// Consumers are shown one notice more, because the answer to an earlier request may come
		// first.
		p.user = min(p.user+2, p.unanswered)
	}
}

// noticeLocked handles a notice for all watchers of the stream.
func (m *Mux) noticeLocked(resp *pb.WatchResponse) {
	rev := resp.Header.Revision
	if rev <= 0 {
		return
	}
	p := &m.progress
	user := p.answered()
	mark := int64(0)
	if !p.ordered {
		mark = p.confirmed(rev)
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

// progressLocked applies a notice to one watcher. It means nothing to one in the middle of a
// fragmented response.
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
