package watchmux

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// maxOrderTests is how often a stream is tested for the order of its notices. The test of a server
// that keeps the order fails only if the server looks after the watches that catch up between two
// requests of the test. It does so every 100 ms, and the requests are microseconds apart.
const maxOrderTests = 3

// orderTest is the test of one stream: see the package comment.
type orderTest struct {
	tries    int
	shadow   *Watcher // its create has been sent; nil once it is answered
	cancel   int64    // the id whose cancellation ends the test, once waits is set
	waits    bool     // for that
	answered bool     // a notice has come since the test began
}

// shadowsLocked queues shadows for the watchers that wait for the future, as many as may be in
// flight at once, or for any one watcher if there are none and one is needed.
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

func (m *Mux) queueShadowLocked(w *Watcher) *Watcher {
	s := &Watcher{template: w.template, original: w, next: m.progress.latest}
	m.queue.pushBack(s)
	return s
}

// waitsForFutureLocked reports whether w was asked for from a revision that the store has not
// reached as far as is known.
func (m *Mux) waitsForFutureLocked(w *Watcher) bool {
	return m.progress.latest > 0 && w.requested > m.progress.latest
}

// shadowCreatedLocked handles the confirmation of a shadow.
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

// cancelledLocked handles the answer to a cancel. It ends a test that waits for it.
func (m *Mux) cancelledLocked(id int64) {
	p := &m.progress
	if !p.order.waits || p.order.cancel != id {
		return
	}
	p.order.waits = false
	if !p.order.answered {
		p.ordered = true
		p.unanswered = max(p.unanswered-1, 0) // the one of the test never will be
		m.requestProgressLocked(false)
	}
}

// compactedEarlyLocked queues w again if a compaction concerns only what its shadow was asked for
// and w does not need.
func (m *Mux) compactedEarlyLocked(w *Watcher, compacted int64) bool {
	if !w.early || compacted <= 0 || compacted > w.next {
		return false
	}
	w.partial = nil
	m.queue.pushBack(w)
	m.advanceLocked()
	return true
}
