package watchmux

import (
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Servers remembers whether the servers of one client take the options that a mux adds to creates:
// a watch id, and the option that asks for fragments. All muxes of the client share it. The zero
// value is ready to use. It is safe for concurrent use.
type Servers struct{ verdict atomic.Uint32 }

const (
	noVerdict uint32 = iota
	optionsTaken
	optionsRefused // the final verdict: it is never replaced
)

func (s *Servers) take()         { s.verdict.CompareAndSwap(noVerdict, optionsTaken) }
func (s *Servers) forget()       { s.verdict.CompareAndSwap(optionsTaken, noVerdict) }
func (s *Servers) refuse()       { s.verdict.Store(optionsRefused) }
func (s *Servers) refused() bool { return s.verdict.Load() == optionsRefused }

// minDoubts is a number of cases. In each case, the server has ended a stream while a create with a
// watch id was unanswered, and a create without an id has succeeded on the next stream. After
// minDoubts cases, the mux adds to creates neither a watch id nor the option that asks for
// fragments.
const minDoubts = 2

// openOptionsLocked decides whether creates on a new stream carry options: a watch id, and the
// option that asks for fragments.
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

// breakOptionsLocked is called when a stream ends with err. If creates were unanswered, it decides
// whether the stream may have ended because of the options in these creates: a watch id, and the
// option that asks for fragments.
func (m *Mux) breakOptionsLocked(err error) {
	if m.doubt = false; len(m.inflight) == 0 {
		return
	}
	refusal := classify.IsOptionRefusal(err)
	switch {
	case m.ids.first == 0 && refusal && m.over.fragments:
		// Before this stream, a message over the client's limit has made all creates ask for
		// fragments. The server refuses this option.
		m.over.fragments, m.over.futile = false, true
	case m.ids.first == 0 || m.ids.echoed:
	case refusal:
		m.cfg.Servers.refuse()
	case classify.IsServersEnd(err):
		m.serial, m.doubt = true, true
	}
}

// plainAnsweredLocked notes that a create without a watch id was answered. If the last stream ended
// while a create with a watch id was unanswered, the cause may have been the id, or the option that
// asks for fragments. After minDoubts such cases, the mux adds neither to creates.
func (m *Mux) plainAnsweredLocked() {
	if !m.doubt {
		return
	}
	m.doubt = false
	if m.doubts++; m.doubts >= minDoubts {
		m.cfg.Servers.refuse()
	}
}

// Overdue is called some time after the stream's first create with options (a watch id, and the
// option that asks for fragments) was sent. The parameter id is the watch id of this create. If the
// server has answered neither this create nor a later create with an id, Overdue sends the create
// again, without options.
//
// If the first response to the two creates has the client's id, the server takes options. The mux
// later cancels the watch of the second create. If the first response has another id, the mux uses
// no more options. It also gives the stream up, because a late answer to one of the two creates
// would look like the answer to the next create.
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

// strayLocked handles the confirmation of a watch with the given id, if answeredLocked cannot tell
// which create was confirmed. If Overdue has sent a create a second time, without an id, the
// confirmed create may be that second one.
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
		// The server has confirmed an id that is in use already, or that no create has asked for.
		// So it is unknown which create was answered. If Servers says that the servers take watch
		// ids, it may have learned that from another server.
		if !m.ids.echoed {
			m.cfg.Servers.forget()
		}
		m.reconnectLocked(ErrProtocol)
	}
}

// repeatRefusedLocked handles a refusal that does not say which create was refused. If Overdue has
// sent a create a second time, and that second create is unanswered, the refusal may answer it.
// repeatRefusedLocked then returns true, and the caller must ignore the refusal.
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
