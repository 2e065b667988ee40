package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOrderTests is how often one stream is tested for whether its progress notices come in order
// with its events. A server that keeps this order can fail a test only if it looks after the
// watches that catch up just between two requests of the test. It looks every 100 ms, and the
// requests are microseconds apart.
const maxOrderTests = 3

// orderTest is a test of whether the server sends a progress notice only after all events up to the
// notice's revision. The package comment explains why the test is a proof.
type orderTest struct {
	tries    int
	shadow   *Watcher // the shadow whose create was sent; nil once the create is answered
	waits    bool     // a cancel was sent, and its answer ends the test
	cancel   int64    // the id of that cancel
	answered bool     // a progress notice was received since the test began
}

// shadowsLocked queues a shadow (a second create for the same watch) for each watcher that waits
// for a future revision, up to the number of creates that may be in flight. If no watcher waits for
// a future revision and needed is set, it queues a shadow for any one watcher. It returns the first
// shadow, or nil if it has queued none.
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

// queueShadowLocked queues a shadow for w and returns it.
func (m *Mux) queueShadowLocked(w *Watcher) *Watcher {
	s := &Watcher{spec: w.spec, original: w, next: m.progress.latest}
	m.queue.pushBack(s)
	return s
}

// waitsForFutureLocked reports whether the create of w asked for a revision above the latest that
// the stream has shown.
func (m *Mux) waitsForFutureLocked(w *Watcher) bool {
	return m.progress.latest > 0 && w.requested > m.progress.latest
}

// shadowCreatedLocked handles the confirmation of the shadow s. If the watcher of s still waits for
// a future revision, it takes over the shadow's id, and its former id is cancelled. Otherwise the
// shadow's id is cancelled.
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

// cancelledLocked handles the answer to a cancel of id. If the test of the order of notices waits
// for that answer, the test ends.
func (m *Mux) cancelledLocked(id int64) {
	p := &m.progress
	if !p.order.waits || p.order.cancel != id {
		return
	}
	p.order.waits = false
	if !p.order.answered {
		p.ordered = true
		p.unanswered = max(p.unanswered-1, 0) // the test's request will never be answered
		m.requestProgressLocked(false)
	}
}

// compactedEarlyLocked handles the end of w because of a compaction. If w needs none of the
// compacted revisions, compactedEarlyLocked queues w again and returns true. That happens after w
// has taken over the id of its shadow, because the shadow was created from an earlier revision.
func (m *Mux) compactedEarlyLocked(w *Watcher, compacted int64) bool {
	if !w.early || compacted <= 0 || compacted > w.next {
		return false
	}
	w.partial = nil
	m.queue.pushBack(w)
	m.advanceLocked()
	return true
}
