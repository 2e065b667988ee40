package watchmux

import (
	"cmp"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// firstID is the number above which the client chooses its watch ids. Servers count their own ids
// up from 0 and never reach it. So an id above firstID names the create that asked for it.
const firstID = 1 << 32

// ids records who chooses the watch ids on the current stream, and what is known of the stream's
// server.
type ids struct {
	mode     idMode
	last     int64 // the last id that the client chose on any stream; ids are never reused
	first    int64 // the first id that the client chose on this stream; 0: none yet
	echoed   bool  // the server has confirmed a create under the id that the create carried
	repeated bool  // Overdue has sent the create of that first id a second time, without an id
	settled  bool  // the create that Overdue has sent a second time was answered
}

type idMode uint8

const (
	plain   idMode = iota // creates are sent one at a time, without a watch id
	untried               // creates are sent one at a time; none has carried a watch id yet
	trying                // one create with a watch id is in flight, and no other create
	taken                 // creates carry watch ids; up to Window of them are in flight
)

// chooseLocked returns the watch id for the create of w, which is the next create to be sent. It
// returns 0 if the create is to carry no id; the server then chooses the id.
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
// mux asks for fragments of smaller events only if Config.Limited is set.
//
// Small events make fragments slow: for each event, etcd computes the size of the whole fragment
// anew. With events of less than a hundred bytes, a fragment takes many seconds. In this time, the
// server sends nothing else on the stream.
const largeEvent = 1 << 10

// wantsFragmentsLocked reports whether the mux sets the fragment option in a create of w. It does
// so only if w begins in the past, because the server may then have much to send at once. There are
// two reasons for fragments:
//   - The client cannot receive so much in one message (Config.Limited).
//   - The events are large, and the server should not keep so much in memory.
func (m *Mux) wantsFragmentsLocked(w *Watcher) bool {
	return m.cfg.Fragments && w.next != 0 && !w.spec.fragment && (m.cfg.Limited || w.large)
}

// answeredLocked returns the watcher whose create the server has confirmed. It removes the create
// from the unanswered creates. The confirmation has the given watch id. If that does not tell which
// create was confirmed, answeredLocked returns nil.
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

// refusedLocked handles the refusal of a create. Most refusals do not say which create was refused.
// The mux keeps such a refusal in m.refusals, until settleLocked knows the create.
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

// settleLocked handles the refusals that do not say which create was refused. They are in
// m.refusals. Once there are as many of them as unanswered creates, all of these creates were
// refused. Before that, settleLocked does nothing.
func (m *Mux) settleLocked() {
	if len(m.refusals) == 0 || len(m.refusals) < len(m.inflight) {
		return
	}
	refused, refusals := m.inflight, m.refusals
	m.inflight, m.refusals = nil, nil
	m.refuseLocked(refused, refusals)
}

// refuseLocked handles the refusal of creates. The response resps[i] refuses the create of
// refused[i].
func (m *Mux) refuseLocked(refused []*Watcher, resps []*pb.WatchResponse) {
	tried := m.ids.mode == trying
	if tried {
		m.ids.mode, m.ids.first = untried, 0
	}
	reconnect := false
	for i := len(refused) - 1; i >= 0; i-- { // backwards, because each goes to the queue's front
		reconnect = m.retryLocked(refused[i], resps[i]) || reconnect
	}
	refused[0].doubted = tried && !reconnect
	if reconnect {
		m.reconnectLocked(ErrRefused)
	}
}

// retryLocked puts w back at the front of the queue after its create was refused. It ends w instead
// if this was the second try, or if the watch's revision is compacted. It reports whether the
// second try needs another stream.
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

// reconnectLocked gives the stream up. The link then calls [Mux.Broken] with the parameter reason.
func (m *Mux) reconnectLocked(reason error) {
	m.open = false
	m.out = nil
	m.link.Reconnect(reason)
}

// onStreamLocked returns the watchers that are active or whose creates are unanswered. It leaves
// out the watchers that were cancelled, and the mux's own second watches (shadows).
func (m *Mux) onStreamLocked() (ws []*Watcher) {
	for _, w := range m.inflight {
		if w.state == creating && w.original == nil {
			ws = append(ws, w)
		}
	}
	return slices.AppendSeq(ws, maps.Values(m.active))
}

// bySeq compares watchers by the order in which they were added.
func bySeq(a, b *Watcher) int { return cmp.Compare(a.seq, b.seq) }

// requeueLocked forgets the current stream and moves its watchers back into the queue. The queue is
// then in the order in which the watchers were added. Shadows, which are watches that the mux has
// added by itself, are dropped. If a consumer still waits for a notice of progress, the mux asks
// for one again on the next stream.
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
