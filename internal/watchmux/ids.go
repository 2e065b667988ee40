package watchmux

import (
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// firstID is the number after which the client chooses its ids. It lies far above the ids that
// servers count up from 0, so an answer under such an id is the answer to the create that asked for
// it.
const firstID = 1 << 32

// ids records who chooses the watch ids on the current stream, and what is known of the stream's
// server.
type ids struct {
	mode     idMode
	last     int64 // the last id that the client chose on any stream; ids are never reused
	first    int64 // the first id that the client chose on this stream; 0: none yet
	echoed   bool  // the server has confirmed a watch under an id that the client chose
	repeated bool  // the create with the first id was sent once more, without options; see Overdue
	settled  bool  // the repeated create was answered
}

type idMode uint8

const (
	plain   idMode = iota // creates are sent one by one, without the mux's options
	untried               // creates are sent one by one; none has carried options yet
	trying                // a create with options is in flight, and no other create
	taken                 // creates carry ids; up to Window of them are in flight
)

// chooseLocked returns the id to put into the create of w, which is the next to be sent. It returns
// 0 for a create without the mux's options, for which the server chooses the id.
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

// largeEvent is the average size, in bytes, from which the events of a watcher count as large. The
// mux does not ask for fragments of small events: etcd computes the size of the whole fragment anew
// for each event that it adds to the fragment. With events of less than a hundred bytes, etcd needs
// many seconds for a fragment, and the stream stands still meanwhile.
const largeEvent = 1 << 10

// wantsFragmentsLocked reports whether the mux sets the fragment option in a create of w. It does
// so only if w begins in the past, because the server may then have much to send at once: more than
// the client can receive in one message, or, if the events are large, more than the server should
// keep in memory.
func (m *Mux) wantsFragmentsLocked(w *Watcher) bool {
	return m.cfg.Fragments && w.next != 0 && !w.spec.fragment && (m.cfg.Limited || w.large)
}

// answeredLocked finds the create that a confirmation under id answers, removes it from the creates
// in flight, and returns its watcher. It returns nil if the confirmation answers none of them.
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

// refusedLocked handles the refusal of a create. Most refusals do not name the create. If several
// creates are in flight, such a refusal is kept until as many refusals have come as creates are
// unanswered.
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

// settleLocked matches the kept refusals with the creates in flight, in order, once there are as
// many of them: each of these creates has then been refused.
func (m *Mux) settleLocked() {
	if len(m.refusals) == 0 || len(m.refusals) < len(m.inflight) {
		return
	}
	refused, refusals := m.inflight, m.refusals
	m.inflight, m.refusals = nil, nil
	m.refuseLocked(refused, refusals)
}

// refuseLocked handles the refusal of watchers' creates. resps has the response for each watcher.
func (m *Mux) refuseLocked(refused []*Watcher, resps []*pb.WatchResponse) {
	tried := m.ids.mode == trying
	if tried {
		m.ids.mode, m.ids.first = untried, 0
	}
	reconnect := false
	for i := len(refused) - 1; i >= 0; i-- { // backwards: each goes to the front of the queue
		reconnect = m.retryLocked(refused[i], resps[i]) || reconnect
	}
	refused[0].doubted = tried && !reconnect
	if reconnect {
		m.reconnectLocked(ErrRefused)
	}
}

// retryLocked puts w, whose create was refused, back at the front of the queue for a second try. It
// ends w instead if the second try was refused, or if the watch's revision is compacted. It reports
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

// reconnectLocked gives the stream up for reason. The link then calls Broken.
func (m *Mux) reconnectLocked(reason error) {
	m.open = false
	m.out = nil
	m.link.Reconnect(reason)
}

// onStreamLocked returns the live watchers that the server knows: those that are active, and those
// whose creates are in flight.
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

// requeueLocked forgets the current stream. It queues all watchers that were on it again, in the
// order in which they were added.
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
