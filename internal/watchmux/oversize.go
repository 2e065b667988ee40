package watchmux

import (
	"slices"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// oversize is the search for the watcher whose messages are over the client's limit. gRPC ends the
// stream at such a message and does not say which watcher it was for. After the first one, all
// creates ask for fragments. If the stream breaks at another one, every watcher of the stream is a
// possible cause. Half of them are held back while the others resume. If the stream breaks again,
// the cause is among those that had resumed, and half of them are held back; otherwise it is among
// those that were held back, which resume. The last possible cause ends with the error, and no
// other watcher does.
type oversize struct {
	fragments bool // all creates ask for fragments
	futile    bool // the server refuses creates that ask for fragments
	quiet     int  // calls of Release since the last break at which all watchers were confirmed
}

const (
	// maxStrikes is 2 because etcd may send the first response of a watch without fragments, if it
	// comes before the create has been recorded.
	maxStrikes = 2
	// minQuiet is 2 because a server then has had the whole time between two calls of Release to
	// send a message over the limit.
	minQuiet = 2
)

// possibleCausesLocked returns the watchers of which one may have caused the end of a stream with
// err. It is called before the watchers are queued again.
func (m *Mux) possibleCausesLocked(err error) (causes []*Watcher) {
	m.over.quiet = 0
	if !classify.IsOverLimit(err) {
		return nil
	}
	if m.cfg.Fragments && !m.over.fragments && !m.over.futile {
		m.over.fragments = true
		return nil
	}
	causes = m.onStreamLocked()
	known := func(w *Watcher) bool { return w.possibleCause }
	if slices.ContainsFunc(causes, known) {
		causes = slices.DeleteFunc(causes, func(w *Watcher) bool { return !w.possibleCause })
	}
	slices.SortFunc(causes, bySeq)
	return causes
}

// narrowLocked holds half of the possible causes back, or ends the only one. All of them are in the
// queue.
func (m *Mux) narrowLocked(causes []*Watcher, err error) {
	if len(causes) == 1 {
		w := causes[0]
		if w.strikes++; w.strikes >= maxStrikes || !m.over.fragments {
			m.queue.remove(w)
			m.endLocked(w, Final{Err: err})
		}
		return
	}
	for i, w := range causes {
		w.possibleCause = true
		if i >= (len(causes)+1)/2 {
			m.queue.remove(w)
			w.state, w.heldBack = paused, true
			m.paused[w] = struct{}{}
		}
	}
	if len(causes) > 0 && m.cfg.Holding != nil {
		m.cfg.Holding()
	}
}

// Release is called some time after Config.Holding was called. If the stream has been open since,
// the watchers on it are no possible causes, and those that were held back resume.
func (m *Mux) Release() {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return
	}
	if m.open && len(m.inflight) == 0 && m.queue.Len() == 0 {
		m.over.quiet++
	}
	if m.over.quiet >= minQuiet {
		m.over.quiet = 0
		for _, w := range m.active {
			w.possibleCause, w.strikes = false, 0
		}
		if !m.releaseLocked() {
			return
		}
	}
	m.cfg.Holding()
}

// releaseLocked queues the watchers that were held back. It reports whether there were any.
func (m *Mux) releaseLocked() (any bool) {
	var held []*Watcher
	for w := range m.paused {
		if w.heldBack {
			held = append(held, w)
		}
	}
	slices.SortFunc(held, bySeq)
	for _, w := range held {
		delete(m.paused, w)
		w.heldBack = false
		m.queue.pushBack(w)
	}
	m.advanceLocked()
	return len(held) > 0
}
