package watchmux

import (
	"slices"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// oversize is the state of the search for the watcher whose messages are over the client's limit.
// gRPC ends the stream at such a message and does not say which watcher it was for.
//
// After the first such message, all creates ask for fragments. If a further message breaks the
// stream, every watcher of the stream is a possible cause. The mux holds half of these watchers
// back (it pauses them), and resumes the other half. If the stream breaks again, the cause is in
// the half that resumed, and half of that half is held back. If the stream does not break, the
// cause is in the half that was held back, and that half resumes. So the search ends with one
// watcher. Only this watcher ends with the error.
type oversize struct {
	fragments bool // all creates ask for fragments, after the first message over the limit
	futile    bool // the server refuses creates that ask for fragments
	// quiet counts the calls of Release since the stream broke last. A call counts only if the
	// stream is open and all its watchers are confirmed.
	quiet int
}

const (
	// maxStrikes is how many messages over the client's limit must certainly have been for one
	// watcher before the mux ends this watcher. One message is not enough, because etcd may send
	// the first response of a watch whole: it may not yet have recorded that the create asks for
	// fragments.
	maxStrikes = 2
	// minQuiet is how many calls of Release the stream must outlive. If it does, the messages over
	// the client's limit were for none of the watchers on the stream, and Release resumes the
	// watchers that were held back (paused). One call is not enough, because it may come just after
	// the stream was opened. Between two calls, the server has enough time to send a message over
	// the limit.
	minQuiet = 2
)

// possibleCausesLocked is called when the stream has ended with err, and before its watchers are
// queued again. If err says that a message was over the client's limit, it returns the watchers
// that the message may have been for: those whose field possibleCause is set, or all watchers of
// the stream if it is set for no watcher. If err says anything else, it returns nil.
//
// At the first message over the limit, possibleCausesLocked also returns nil, if the mux can ask
// for fragments. It then makes all later creates ask for fragments.
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

// narrowLocked narrows the search for the watcher whose messages are over the client's limit. The
// parameter causes has the queued watchers for which the last such message may have been. If there
// are several, narrowLocked holds half of them back (it pauses them). If there is only one, the
// message was certainly for this watcher. narrowLocked ends the watcher after maxStrikes such
// messages, or at the first one if creates do not ask for fragments.
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

// Release must be called some time after each call of Config.Holding. The mux calls Holding when it
// holds watchers back (it pauses them), because a message for one of them may have been too large
// for the client to receive. If the stream has not broken during minQuiet calls of Release, the
// watchers on the stream were not the cause, and Release resumes the watchers that were held back.
// Release calls Holding again, until there is no watcher left to resume.
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
