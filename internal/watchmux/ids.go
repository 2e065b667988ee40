package watchmux

import (
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// firstID lies far above the ids that servers count up from 0, so that no server
// chooses an id that was chosen here, and an answer can be matched by its id.
const firstID = 1 << 32

// ids is how ids are assigned on a stream.
type ids struct {
	mode     idMode
	last     int64 // the last id chosen by the client on any stream; never reused
	first    int64 // the first one of this stream; 0: none yet
	echoed   bool  // the server has confirmed a watch under an id of the client's
	repeated bool  // the create with the first id was sent once more, without options; see Overdue
	settled  bool  // the repeated create was answered
}

type idMode uint8

const (
	plain   idMode = iota // creates carry no options of the mux's, and go one by one
	untried               // creates go one by one, and none has carried options
	trying                // one with options is in flight, alone
	taken                 // creates carry ids and go in a window
)

// windowLocked is how many creates may be in flight.
func (m *Mux) windowLocked() int {
	if m.ids.mode == taken {
		return m.cfg.Window
	}
	return 1
}

// chooseLocked returns the id to ask for in the next create, that of w; 0 leaves the choice to the
// server, and stands for a create without options.
func (m *Mux) chooseLocked(w *Watcher) int64 {
	switch {
	case m.ids.mode == taken:
	case m.ids.mode == untried && !w.retried &&
		(m.queue.Len() >= m.cfg.MinBatch || m.wantsFragmentsLocked(w)):
		m.ids.mode = trying
	default:
		return 0
	}
	m.ids.last++
	if m.ids.first == 0 {
		m.ids.first = m.ids.last
		if m.cfg.TryingOptions != nil {
			m.cfg.TryingOptions(m.ids.last)
		}
	}
	return m.ids.last
}

// wantsFragmentsLocked reports whether a create of w is to try for fragments on the mux's own
// account: the server may have more to send at once than the client can receive, or is to hold.
func (m *Mux) wantsFragmentsLocked(w *Watcher) bool {
	return m.cfg.Fragments && w.next != 0 && !w.template.Fragment
}

// answeredLocked takes the watcher whose create the confirmation of id answers out of the creates
// in flight. It returns nil for an answer that belongs to none of them.
func (m *Mux) answeredLocked(id int64) *Watcher {
	if m.active[id] != nil || len(m.inflight) == 0 {
		return nil
	}
	i := slices.IndexFunc(m.inflight, func(w *Watcher) bool { return w.id == id && id != 0 })
	switch {
	case i >= 0:
		m.ids.echoed, m.ids.mode, m.doubts = true, taken, 0
		m.cfg.Servers.take()
	case m.ids.repeated && !m.ids.echoed || m.ids.mode == taken:
		return nil
	case m.ids.mode == trying:
		m.cfg.Servers.refuse()
		m.ids.mode, i = plain, 0
	default:
		m.plainAnsweredLocked()
		i = 0
	}
	w := m.inflight[i]
	m.inflight = slices.Delete(m.inflight, i, i+1)
	return w
}

// refusedLocked handles the refusal of a create. It does not say which: with several in flight it
// is kept until as many refusals have come as creates are unanswered.
func (m *Mux) refusedLocked(resp *pb.WatchResponse) {
	if i := slices.IndexFunc(m.inflight, func(w *Watcher) bool {
		return w.id == resp.WatchId && w.id != 0
	}); i >= 0 {
		w := m.inflight[i]
		m.inflight = slices.Delete(m.inflight, i, i+1)
		m.refuseLocked([]*Watcher{w}, []*pb.WatchResponse{resp})
	} else if m.repeatRefusedLocked() {
		return
	} else if len(m.inflight) > 0 {
		m.refusals = append(m.refusals, resp)
	}
	m.settleLocked()
}

// settleLocked attributes the refusals, in order, once nothing else can answer the creates in
// flight.
func (m *Mux) settleLocked() {
	if len(m.refusals) == 0 || len(m.refusals) < len(m.inflight) {
		return
	}
	refused, refusals := m.inflight, m.refusals
	m.inflight, m.refusals = nil, nil
	m.refuseLocked(refused, refusals)
}

// refuseLocked handles watchers that have been refused, with the responses that say so.
func (m *Mux) refuseLocked(refused []*Watcher, resps []*pb.WatchResponse) {
	tried := m.ids.mode == trying
	if tried {
		m.ids.mode, m.ids.first = untried, 0
	}
	reconnect := false
	for i := len(refused) - 1; i >= 0; i-- { // the first is to be the first of the queue again
		reconnect = m.retryLocked(refused[i], resps[i]) || reconnect
	}
	refused[0].doubted = tried && !reconnect
	if reconnect {
		m.reconnectLocked(ErrRefused)
	}
}

// retryLocked tries a refused w once more, in its place in the queue, or ends it. It reports
// whether the second try needs another stream.
func (m *Mux) retryLocked(w *Watcher, resp *pb.WatchResponse) (reconnect bool) {
	if w.state == abandoned || w.original != nil {
		return false
	}
	if w.retried || resp.CompactRevision != 0 {
		m.endLocked(w, finalOf(resp))
		return false
	}
	w.retried = true
	m.queue.pushFront(w)
	return m.cfg.Refused != nil && m.cfg.Refused(resp.CancelReason)
}

// reconnectLocked gives the stream up. The link answers with Broken.
func (m *Mux) reconnectLocked(reason error) {
	m.open = false
	m.out = nil
	m.link.Reconnect(reason)
}

// onStreamLocked returns the watchers whose creates were sent on the stream and that are live.
func (m *Mux) onStreamLocked() (ws []*Watcher) {
	for _, w := range m.inflight {
		if w.state == creating && w.original == nil {
			ws = append(ws, w)
		}
	}
	return slices.AppendSeq(ws, maps.Values(m.active))
}

// bySeq compares watchers by the order of Add.
func bySeq(a, b *Watcher) int { return cmp.Compare(a.seq, b.seq) }

// requeueLocked forgets the stream. All watchers that were on it are queued again, in the order of
// Add.
func (m *Mux) requeueLocked() {
	all := slices.DeleteFunc(m.queue.all(), func(w *Watcher) bool { return w.original != nil })
	all = append(all, m.onStreamLocked()...)
	slices.SortFunc(all, bySeq)
	m.queue = queue{}
	for _, w := range all {
		w.forgetStream()
		m.queue.pushBack(w)
	}
	m.open, m.out = false, nil
	m.inflight, m.refusals = nil, nil
	clear(m.active)
	m.progress = progress{wanted: m.progress.wanted || m.progress.user > 0}
}
