package watchmux

import (
	"cmp"
	"slices"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// oversize is what is known of messages over the client's limit. gRPC ends the stream at such a
// message, and does not say whose it was. At the first one all creates ask for fragments from then
// on. If that is no help, the watchers of the stream are suspects, and half of them are held back
// while the others resume: if the stream breaks again, one of those that had resumed is to blame,
// and half of these are held back; otherwise they are cleared, and those held back resume. The last
// suspect ends with the error, and no other watcher does.
type oversize struct {
	fragments bool // creates ask for fragments in any case
	futile    bool // the server refuses that
	quiet     int  // calls of Release since the last break on which all watchers were confirmed
}

const (
	maxStrikes = 2 // etcd may send the first response of a watch unfragmented, by chance
	// so that a server has had the whole time between two calls to send what is over the limit
	minQuiet = 2
)

// suspectsLocked returns, before the watchers of a broken stream are queued, those among which one
// has caused its end.
func (m *Mux) suspectsLocked(err error) (suspects []*Watcher) {
	m.over.quiet = 0
	if !classify.IsOverLimit(err) {
		return nil
	}
	if m.cfg.Fragments && !m.over.fragments && !m.over.futile {
		m.over.fragments = true
		return nil
	}
	for _, w := range m.inflight {
		if w.state == creating && w.original == nil {
			suspects = append(suspects, w)
		}
	}
	for _, w := range m.active {
		suspects = append(suspects, w)
	}
	known := func(w *Watcher) bool { return w.suspect }
	if slices.ContainsFunc(suspects, known) {
		suspects = slices.DeleteFunc(suspects, func(w *Watcher) bool { return !w.suspect })
	}
	slices.SortFunc(suspects, func(a, b *Watcher) int { return cmp.Compare(a.seq, b.seq) })
	return suspects
}

// suspectLocked holds half of the suspects back, which are in the queue, or ends the only one.
func (m *Mux) suspectLocked(suspects []*Watcher, err error) {
	if len(suspects) == 1 {
		w := suspects[0]
		if w.strikes++; w.strikes >= maxStrikes || !m.over.fragments {
			m.queue.remove(w)
			m.endLocked(w, Final{Err: err})
		}
		return
	}
	for i, w := range suspects {
		w.suspect = true
		if i >= (len(suspects)+1)/2 {
			m.queue.remove(w)
			w.state, w.held = paused, true
			m.paused[w] = struct{}{}
		}
	}
	if len(suspects) > 0 && m.cfg.Holding != nil {
		m.cfg.Holding()
	}
}

// Release is called some time after Config.Holding was called. Once the stream has been
// open for as long, the suspects on it are cleared, and watchers that were held back resume.
func (m *Mux) Release() {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return
	}
	if m.open && len(m.inflight) == 0 && m.queue.len == 0 {
		m.over.quiet++
	}
	if m.over.quiet >= minQuiet {
		m.over.quiet = 0
		for _, w := range m.active {
			w.suspect, w.strikes = false, 0
		}
		if !m.releaseLocked() {
			return
		}
	}
	m.cfg.Holding()
}

// releaseLocked queues the watchers that are held back, and reports whether there are any.
func (m *Mux) releaseLocked() (any bool) {
	var held []*Watcher
	for w := range m.paused {
		if w.held {
			held = append(held, w)
		}
	}
	slices.SortFunc(held, func(a, b *Watcher) int { return cmp.Compare(a.seq, b.seq) })
	for _, w := range held {
		delete(m.paused, w)
		w.held = false
		m.queue.pushBack(w)
	}
	m.advanceLocked()
	return len(held) > 0
}
