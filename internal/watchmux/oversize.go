package watchmux

import (
	"slices"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// oversize is the state of the search for the watcher whose messages are too large. gRPC ends the
// stream at a message over the client's limit. It does not say which watcher the message was for.
//
// After the first such message, all creates ask for fragments. If another one breaks the stream,
// every watcher of the stream is a possible cause. The mux then pauses half of these watchers, and
// resumes the other half:
//   - If the stream breaks again, the cause is in the half that resumed. Half of that half is
//     paused.
//   - If the stream does not break, the cause is in the half that was paused. That half resumes.
//
// In the end, one watcher is left. Only this watcher ends with the error.
type oversize struct {
	fragments bool // all creates ask for fragments, after the first message over the limit
	futile    bool // the server refuses creates that ask for fragments
	// quiet counts the calls of Release since the stream broke last. A call counts only if the
	// stream is open and all its watchers are confirmed.
	quiet int
}

const (
	// maxStrikes is how many messages over the limit end a watcher. Only messages that were
	// certainly for this watcher count. One is not enough, because etcd may send the first response
	// of a watch whole: it may not yet have recorded that the create asks for fragments.
	maxStrikes = 2
	// minQuiet is how many calls of Release the stream must outlive. After that, none of its
	// watchers was the cause of the messages over the limit, and Release resumes the paused
	// watchers.
	//
	// One call is not enough, because it may come just after the stream was opened. Between two
	// calls, the server has enough time to send a message over the limit.
	minQuiet = 2
)

// possibleCausesLocked returns the watchers that a message over the client's limit may have been
// for. It is called when the stream has ended with err, before its watchers are queued again. It
// returns the watchers whose field possibleCause is set, or else all watchers of the stream.
//
// It returns nil in two cases:
//   - The error is not about a message over the limit.
//   - It is the first such message, and the mux can ask for fragments. From then on, all creates
//     ask for fragments.
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
// last such message was for one of causes, which are in the queue. If there are several,
// narrowLocked pauses half of them.
//
// If there is only one, the message was certainly for this watcher. narrowLocked ends it after
// maxStrikes such messages, or at once if creates do not ask for fragments.
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

// Release must be called some time after each call of Config.Holding. Holding says that watchers
// are paused, because a message for one of them may have been too large for the client.
//
// If the stream has not broken during minQuiet calls of Release, the watchers on it were not the
// cause. Release then resumes the paused watchers. It calls Holding again, until there is no
// watcher left to resume.
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
