package cache

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// step gives watches some of the changes that they have not been given, up to the view. It returns
// false if there is nothing left to do until there is another view, a request, or a response of the
// server.
func (t *watchTable) step() bool {
	more := t.stepHead()
	for range len(t.others) {
		t.turn++
		g := t.others[t.turn%len(t.others)]
		if t.stepOther(g) {
			more = true
			break
		}
	}
	if !more && t.asked > 0 {
		t.answerProgress()
	}
	return more
}

// stepHead gives the head group the next entry of the log. It reports whether there may be another
// one.
func (t *watchTable) stepHead() bool {
	g, v := t.head, t.view
	if g.index.Len() == 0 {
		return false
	}
	state := t.read(g, v.last, 1)
	t.flush(t.header(g.revision))
	switch {
	case state == readLost, state == readAll && v.err != nil:
		t.head = &watchGroup{at: v.last, revision: v.logged}
		t.others = append(t.others, g)
		t.orphan(g)
		return true
	case state == readAll:
		g.revision = v.logged
		return false
	}
	return true
}

// stepOther gives one of the other groups some of what it has missed. It reports whether the group
// has got on.
func (t *watchTable) stepOther(g *watchGroup) bool {
	if g.at == nil {
		if t.view.err == nil && g.source != nil {
			t.leaveServer(g)
		}
		return g.at != nil
	}
	before := g.at
	state := t.read(g, t.head.at, batchChanges)
	t.flush(t.header(t.view.revision))
	switch {
	case g.at == t.head.at && t.view.err == nil:
		t.merge(g)
	case state == readLost, state == readAll && t.view.err != nil:
		t.orphan(g)
	default:
		return g.at != before
	}
	return true
}

// orphan has one of the other groups go on with a watch on the server, because the log does not
// have its next changes.
func (t *watchTable) orphan(g *watchGroup) {
	g.at = nil
	t.orphans = append(t.orphans, g)
}

// answerProgress answers a request for progress if all watches have been given everything up to the
// revision that was asked for, and if no watch starts at a later revision. A view of another era
// may never reach the revision that was asked for. Then it is enough that the watches have
// everything up to the revision of the view.
func (t *watchTable) answerProgress() {
	switch {
	case len(t.others) > 0:
		return
	case len(t.watches) == 0:
		t.asked = 0
		return
	case t.head.revision < min(t.asked, t.view.revision):
		return
	case t.future:
		for _, it := range t.watches {
			if it.Value.next > t.head.revision+1 {
				return
			}
		}
		t.future = false
	}
	t.asked = 0
	t.send(&pb.WatchResponse{Header: t.header(t.head.revision), WatchId: clientv3.InvalidWatchID})
}

// tick sends a notice of progress to each watch that wants notices and has had no event since the
// last tick.
func (t *watchTable) tick() {
	for _, it := range t.watches {
		w := &it.Value
		if !w.progress {
			continue
		}
		if !w.busy && w.group == t.head && w.next <= t.head.revision+1 {
			t.send(&pb.WatchResponse{Header: t.header(t.head.revision), WatchId: w.id})
		}
		w.busy = false
	}
}
