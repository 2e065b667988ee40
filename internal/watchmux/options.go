package watchmux

import (
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Servers remembers whether the servers of one client take options in creates. A mux adds two
// options: a watch id, and a flag that asks for fragments. All muxes of the client share Servers.
// The zero value is ready to use, and safe for concurrent use.
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

// minDoubts is the number of doubtful cases after which creates carry no more options. The options
// are a watch id, and a flag that asks for fragments.
//
// In a doubtful case, a stream ends while a create with options is unanswered. On the next stream,
// a create without options succeeds. So the options may have ended the first stream.
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

// breakOptionsLocked decides whether the stream has ended because of options in create requests.
// The options are a watch id, and a flag that asks for fragments. Options can be the reason only if
// a create request was unanswered.
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

// plainAnsweredLocked notes that a create without a watch id was answered. If options in creates
// may have ended the last stream, this is a doubtful case. After minDoubts such cases, the mux adds
// no more options.
func (m *Mux) plainAnsweredLocked() {
	if !m.doubt {
		return
	}
	m.doubt = false
	if m.doubts++; m.doubts >= minDoubts {
		m.cfg.Servers.refuse()
	}
}

// Overdue sends the stream's first create with a watch id again, without options. The options are
// the id, and a flag that asks for fragments. The owner of the mux calls Overdue with this id, some
// time after the create was sent. Overdue does nothing if the server has answered this create, or a
// later one with an id.
//
// The first response to the two creates shows whether the server takes options:
//   - It has the client's id: the server takes options. The mux later cancels the watch of the
//     second create.
//   - It has another id: the mux uses no more options. It also gives the stream up. Otherwise a
//     late answer to one of the two creates would look like the answer to the next create.
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

// strayLocked handles a confirmation that answeredLocked could not match with a create. The
// confirmed watch has the given id. If Overdue has sent a create again, without an id, the server
// may have confirmed that second create.
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
		// The id is in use already, or no create has asked for it. So it is unknown which create
		// was answered. Servers may have learned from another server that watch ids are taken.
		if !m.ids.echoed {
			m.cfg.Servers.forget()
		}
		m.reconnectLocked(ErrProtocol)
	}
}

// repeatRefusedLocked handles a refusal after Overdue has repeated a create request that the server
// had left unanswered. The refusal may answer either of the two requests. repeatRefusedLocked
// returns true if one of them is still unanswered. The caller must then ignore the refusal.
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
