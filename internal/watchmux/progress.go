package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOutstanding bounds the number of notices that a confirmation can overtake: etcd queues 128 responses per stream, hands one
// to the transport, and drops notices that find no room.
const maxOutstanding = 129

// progress is what is known of the progress requests sent on a stream. The server answers each with at most one notice, in
// order, and not at all while one of the stream's watchers lags behind; so a notice may be the answer to any request that
// has had none.
//
// A notice that was computed before a watcher existed may arrive after that watcher's confirmation, and must not be applied
// to it: it would resume past events it has not been sent. A watcher is therefore fenced by the number of requests
// unanswered when its create was sent. The fence falls with each notice that it holds off, and altogether with a notice of
// a later revision than the confirmation's, or with any event: notices older than the watch precede both. It holds off only
// those that speak for revisions which the watch is to be sent: requests that are never answered keep up fences for long.
type progress struct {
	unanswered int  // requests that may still be answered
	user       int  // how many of the next notices may answer a consumer's request
	wanted     bool // a consumer asked while no request could be sent
	newest     bool // the last request handed to the link was one for progress
	proven     bool // the stream has answered one
	trusted    bool // its server sends notices only after the events that they speak for
	heard      bool // something was received since the last Probe

	latest int64 // the latest revision that the stream has shown
}

func (p *progress) reset() {
	*p = progress{wanted: p.wanted || p.user > 0}
}

// sent counts a request.
func (p *progress) sent(user bool) {
	p.unanswered++
	if user {
		p.asked()
	}
}

// asked counts a request as a consumer's. Another notice is shown with its own, as the answer to a probe may come first.
func (p *progress) asked() { p.user = min(p.user+2, p.unanswered) }

// answered counts a notice, and reports whether it may answer a consumer's request.
func (p *progress) answered() (user bool) {
	user = p.user > 0
	p.user = max(p.user-1, 0)
	p.unanswered = max(p.unanswered-1, 0)
	p.proven = true
	return user
}

// outstanding returns how many notices may overtake the confirmation of a watch created now.
func (p *progress) outstanding() uint8 { return uint8(min(p.unanswered, maxOutstanding)) }

// RequestProgress asks the server for a progress notice to all watchers. Where that is not possible at once, because there
// is no stream or watchers are still queued, it is done as soon as it is. It reports whether the mux has any watcher.
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

// Trust tells of the server of the current stream what Config.Doubtful doubts.
func (m *Mux) Trust() {
	m.mu.Lock()
	defer m.unlock()
	m.progress.trusted = m.open
}

// Live reports whether the mux has any watcher. Once it has none, it never has one again.
func (m *Mux) Live() bool {
	m.mu.Lock()
	defer m.unlock()
	return !m.closed
}

// Liveness is what a Probe tells about the stream.
type Liveness struct {
	Open   bool // there is a stream with active watchers
	Proven bool // the stream has answered a request for progress before
	Silent bool // nothing at all has been received since the last Probe, though a request for progress is unanswered
	Ahead  bool // a watcher waits for a revision that the store may not have reached: silence may be due to that
	Mute   bool // nothing at all has been received since the last Probe, though creates are unanswered
}

// Probe tells how the stream does and, if ask is set, asks the server for progress on the mux's own behalf. Consumers do not
// see the answer, but it moves the revisions they resume from.
func (m *Mux) Probe(ask bool) (l Liveness) {
	m.mu.Lock()
	defer m.unlock()
	if !m.open || m.closed {
		return l
	}
	p := &m.progress
	l.Mute = !p.heard && len(m.inflight) > 0
	if len(m.active) > 0 {
		l.Open, l.Proven = true, p.proven
		l.Silent = !p.heard && p.unanswered > 0
		l.Ahead = (l.Silent || !l.Proven) && m.aheadLocked()
		if ask {
			m.askLocked(false)
		}
	}
	p.heard = false
	return l
}

// aheadLocked reports whether a watcher was asked for from a revision that the store may not have reached: until it has, etcd
// answers no request for progress on the stream.
func (m *Mux) aheadLocked() bool {
	for _, w := range m.active {
		if w.asked > m.progress.latest {
			return true
		}
	}
	return false
}

// askLocked sends a progress request, unless the last request is one that the link has not sent yet: it will do for both.
func (m *Mux) askLocked(user bool) {
	if user {
		m.progress.wanted = false
	}
	if m.progress.newest && m.link.Queued() > 0 {
		if user {
			m.progress.asked()
		}
		return
	}
	m.sendLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
	m.progress.sent(user)
	m.progress.newest = true
}

// noticeLocked handles a notice for all watchers of the stream.
func (m *Mux) noticeLocked(resp *pb.WatchResponse) {
	rev := resp.Header.Revision
	if rev <= 0 {
		return
	}
	user := m.progress.answered()
	move := m.progress.trusted || !m.cfg.Doubtful
	for _, w := range m.active {
		switch {
		case w.fence == 0:
		case rev > w.created:
			w.fence = 0
		default:
			w.fence--
			if 0 < w.asked && w.asked <= rev {
				continue
			}
		}
		m.progressLocked(w, resp.Header, user, move)
	}
}

// progressLocked applies a notice to one watcher. It means nothing to one in the middle of a fragmented response.
func (m *Mux) progressLocked(w *Watcher, header *pb.ResponseHeader, show, move bool) {
	if w.partial != nil {
		return
	}
	if move {
		w.progressed(header.Revision)
	}
	if show && w.sink.Deliver(header, nil) {
		m.pauseLocked(w)
	}
}
