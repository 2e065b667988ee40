package watchmux

import (
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Servers is what the servers of one client have shown about options that the mux adds to creates
// by itself: ids, and the wish for fragments. All muxes of a client share it. The zero value is
// ready; it is safe for concurrent use.
type Servers struct{ verdict atomic.Uint32 }

const (
	noVerdict uint32 = iota
	optionsTaken
	optionsRefused // for good
)

func (s *Servers) take()         { s.verdict.CompareAndSwap(noVerdict, optionsTaken) }
func (s *Servers) forget()       { s.verdict.CompareAndSwap(optionsTaken, noVerdict) }
func (s *Servers) refuse()       { s.verdict.Store(optionsRefused) }
func (s *Servers) refused() bool { return s.verdict.Load() == optionsRefused }

// minDoubts is how many streams in a row must have ended at a create with options, each followed by
// one on which the same create went through without, for the options to be taken for the cause.
const minDoubts = 2

// openOptionsLocked decides how a new stream begins.
func (m *Mux) openOptionsLocked() {
	mode := untried
	switch {
	case m.serial || m.cfg.Servers.refused():
		mode = plain
	case m.cfg.Servers.verdict.Load() == optionsTaken:
		mode = taken
	}
	m.ids = ids{mode: mode, last: m.ids.last}
	m.serial = false
}

// breakOptionsLocked learns from the end of a stream on which a create with options was not
// answered.
func (m *Mux) breakOptionsLocked(err error) {
	if m.doubt = false; len(m.inflight) == 0 {
		return
	}
	refusal := classify.IsOptionRefusal(err)
	switch {
	case m.ids.first == 0 && refusal && m.over.fragments:
		// asked for in spite of an earlier refusal
		m.over.fragments, m.over.futile = false, true
	case m.ids.first == 0 || m.ids.echoed:
	case refusal:
		m.cfg.Servers.refuse()
	case classify.IsServersEnd(err):
		m.serial, m.doubt = true, true
	}
}

// plainAnsweredLocked notes that a create without options has been answered.
func (m *Mux) plainAnsweredLocked() {
	if !m.doubt {
		return
	}
	m.doubt = false
	if m.doubts++; m.doubts >= minDoubts {
		m.cfg.Servers.refuse()
	}
}

// Overdue is called when the stream's first create with options has been waiting for its answer for
// a while. If it still is, and no later one has been answered, the same watch is asked for once
// more without options. A server that takes options answers in order, the first one under the
// client's id; the second watch is then cancelled. One that answers the second first ignores
// options, or is about to answer both in any order: creates go without, on another stream, as on
// this one the answer to the next create could not be told from a late one.
func (m *Mux) Overdue(id int64) {
	m.mu.Lock()
	defer m.unlock()
	if !m.open || m.closed || m.ids.first != id || m.ids.echoed || m.ids.repeated {
		return
	}
	if i := slices.IndexFunc(m.inflight, func(w *Watcher) bool { return w.id == id }); i >= 0 {
		m.ids.repeated = true
		m.sendLocked(m.inflight[i].create(0, false))
	}
}

// strayLocked handles a confirmation that answers none of the creates in flight.
func (m *Mux) strayLocked(id int64) {
	known := m.active[id] != nil
	switch {
	case !known && m.ids.repeated && !m.ids.echoed && len(m.inflight) > 0:
		m.cfg.Servers.refuse()
		m.reconnectLocked(ErrOverdue)
	case !known && m.ids.repeated && !m.ids.settled:
		m.ids.settled = true
		m.sendCancelLocked(id)
	case len(m.inflight) > 0:
		// the id is in use, or was not asked for: whose answer it is cannot be told
		if !m.ids.echoed {
			m.cfg.Servers.forget() // the server is another than the one that took options
		}
		m.reconnectLocked(ErrProtocol)
	}
}

// repeatRefusedLocked handles a refusal that may be the answer to the repeated create. It reports
// whether it was.
func (m *Mux) repeatRefusedLocked() bool {
	switch {
	case !m.ids.repeated || m.ids.settled:
		return false
	case m.ids.echoed:
		m.ids.settled = true
	default:
		m.serial = true
		m.reconnectLocked(ErrOverdue)
	}
	return true
}
