package watchmux

import (
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// wantsFragmentsLocked reports whether a create of w is to try for fragments on the mux's own
// account: the server may have more to send at once than the client can receive, or is to hold.
func (m *Mux) wantsFragmentsLocked(w *Watcher) bool {
	return m.cfg.Fragments && w.next != 0 && !w.template.Fragment
}

// asksFragmentsLocked reports whether a create of w with this id asks for fragments.
func (m *Mux) asksFragmentsLocked(w *Watcher, id int64) bool {
	return id != 0 && m.wantsFragmentsLocked(w) || m.over.fragments
}

// assemble adds events to those that were received in fragments, and returns what is to be
// delivered: all where no other fragment follows; otherwise the events before the last revision,
// which may go on in the next fragment, or nothing as long as fragments are merged.
func (w *Watcher) assemble(events []*mvccpb.Event, more bool) []*mvccpb.Event {
	if w.MergeBytes > 0 {
		w.merged += size(events)
	}
	events = append(w.partial, events...)
	switch {
	case !more:
		w.partial, w.merged = nil, 0
		return events
	case w.merged < w.MergeBytes:
		w.partial = events
		return nil
	}
	cut := len(events)
	for cut > 0 && events[cut-1].GetKv().GetModRevision() == events[len(
		events)-1].GetKv().GetModRevision() {
		cut--
	}
	if cut == 0 {
		w.partial = events
		return nil
	}
	w.partial, w.merged = slices.Clone(events[cut:]), 0 // a copy: delivered events can be freed
	return events[:cut:cut]
}

// size is about how many bytes events have.
func size(events []*mvccpb.Event) (n int) {
	for _, e := range events {
		for _, kv := range []*mvccpb.KeyValue{e.GetKv(), e.GetPrevKv()} {
			n += len(kv.GetKey()) + len(kv.GetValue())
		}
	}
	return n
}

// forgetStream drops what is known of the stream that w was on.
func (w *Watcher) forgetStream() {
	w.partial, w.merged, w.doubted = nil, 0, false
	if !w.template.Fragment {
		w.MergeBytes = 0
	}
}
