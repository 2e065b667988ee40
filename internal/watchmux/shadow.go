package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOrderTests is how often the mux tests on one stream whether progress notices come in order
// with events. A server that keeps this order can fail a test by chance, so the mux tries again.
const maxOrderTests = 3

// orderTest is a test of the order in which the server sends events and progress notices. It tests
// whether a notice comes only after all events up to its revision. For the test, the mux creates a
// second watch (a shadow) for an active watcher, and cancels one of the two. The package comment
// explains why the test is a proof.
type orderTest struct {
	tries    int
	shadow   *Watcher // the second watch, until its create is answered; then nil
	waits    bool     // one of the two watches was cancelled, and the answer ends the test
	cancel   int64    // the watch id of the cancelled watch
	answered bool     // a progress notice was received since the test began
}

// shadowsLocked queues shadows, and returns the first, or nil if it has queued none. A shadow is a
// second watch for an active watcher. Each watcher that waits for a future revision gets a shadow,
// but at most Config.Window shadows are queued. If there is no such watcher, and needed is set, one
// active watcher gets a shadow in any case.
func (m *Mux) shadowsLocked(needed bool) (first *Watcher) {
	var spare *Watcher
	n := 0
	for _, w := range m.active {
		if n == m.cfg.Window {
			break
		}
		if m.waitsForFutureLocked(w) {
			s := m.queueShadowLocked(w)
			if n++; n == 1 {
				first = s
			}
		}
		spare = w
	}
	if n == 0 && needed && spare != nil {
		first = m.queueShadowLocked(spare)
	}
	return first
}

// queueShadowLocked queues a shadow (a second create) for w, and returns the shadow. The shadow
// starts at the latest revision that the stream has shown.
func (m *Mux) queueShadowLocked(w *Watcher) *Watcher {
	s := &Watcher{spec: w.spec, original: w, next: m.progress.latest}
	m.queue.pushBack(s)
	return s
}

// waitsForFutureLocked reports whether w was created from a revision above the latest revision that
// the stream has shown.
func (m *Mux) waitsForFutureLocked(w *Watcher) bool {
	return m.progress.latest > 0 && w.requested > m.progress.latest
}

// shadowCreatedLocked handles the confirmation of the shadow s, a second watch for s.original. If
// s.original still waits for a future revision, it takes over the watch id of s, and its former id
// is cancelled. Otherwise the id of s is cancelled. If s was created for an orderTest, the test now
// waits for the answer to the cancel.
func (m *Mux) shadowCreatedLocked(s *Watcher, resp *pb.WatchResponse) {
	w, old := s.original, resp.WatchId
	if w.state == active && w.requested > s.requested && w.requested > resp.Header.Revision {
		old = w.id
		delete(m.active, old)
		w.id, w.requested, w.floor, w.created = resp.WatchId, s.requested, w.next,
			resp.Header.Revision
		w.staleNotices, w.partial, w.early, w.catchingUp = s.staleNotices, nil, true, true
		m.active[w.id] = w
	}
	m.sendCancelLocked(old)
	if t := &m.progress.order; t.shadow == s {
		t.shadow, t.cancel, t.waits = nil, old, true
	}
}

// cancelledLocked handles the answer to a cancel of the watch with the given id. If an orderTest
// waits for this answer, the test ends here. If no progress notice came before the answer, the test
// has proven the order: the server sends a notice only after all events up to its revision.
func (m *Mux) cancelledLocked(id int64) {
	p := &m.progress
	if !p.order.waits || p.order.cancel != id {
		return
	}
	p.order.waits = false
	if !p.order.answered {
		p.ordered = true
		p.unanswered = max(p.unanswered-1, 0) // the server has dropped the test's progress request
		m.requestProgressLocked(false)
	}
}

// compactedEarlyLocked is called when the server has ended w for a compaction. It queues w again if
// w needs none of the compacted revisions, and reports whether it did. That is possible if the
// server's watch was a shadow: a second watch for w, from an earlier revision than w needs. The
// revisions below the argument compacted are gone.
func (m *Mux) compactedEarlyLocked(w *Watcher, compacted int64) bool {
	if !w.early || compacted <= 0 || compacted > w.next {
		return false
	}
	w.partial = nil
	m.queue.pushBack(w)
	m.advanceLocked()
	return true
}
