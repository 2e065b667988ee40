package cache

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// step gives the watches some of the changes that they still need, up to the newest view. It does
// so in small parts, so that no group of watches delays the others. If it returns false, there is
// nothing to do until a new view, a request, or a response of the server.
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
	switch {
	case more:
	case t.asked > 0:
		t.answerProgress()
	case t.noticesAwaited:
		t.answerByNotices()
	}
	return more
}

// stepHead gives the head group (the watches that are up to date with the log) the next log entry.
// It returns true if there may be more to do for the group. If the log no longer has the group's
// next changes, or the cache has ended, stepHead moves the group to t.others. A new, empty group
// then becomes the head group.
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

// stepOther gives g, a group whose watches are catching up, some of the changes that its watches
// still need. It returns false if nothing has changed.
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

// orphan is called when g, a group of t.others, cannot get its next changes from the log of the
// cache. It records that g needs a watch on the server.
func (t *watchTable) orphan(g *watchGroup) {
	g.at = nil
	t.orphans = append(t.orphans, g)
}

// answerProgress answers a consumer's request for progress once all watches are far enough: up to
// the revision t.asked, or up to the newest view (state of the cache). The view counts because
// after a restore of the cluster, a view may never reach t.asked.
//
// The answer has the revision of the head group. It is delayed while a watch starts later than at
// the revision after that.
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
		if t.startsAfter(t.head.revision) {
			return
		}
		t.future = false
	}
	t.asked = 0
	t.send(&pb.WatchResponse{Header: t.header(t.head.revision), WatchId: clientv3.InvalidWatchID})
}

// awaitNotices makes the table answer a request for progress once the server has sent a notice of
// progress for each group. It is called only after the cache has ended. Each group then has a watch
// on the server.
func (t *watchTable) awaitNotices() {
	t.noticesAwaited = true
	for _, g := range t.others {
		g.noticed = false
	}
}

// answerByNotices answers a request for progress once the server has sent a notice for each group.
// The answer has the lowest revision of a group. It is delayed while a watch starts later than at
// the revision after that.
func (t *watchTable) answerByNotices() {
	if len(t.watches) == 0 {
		t.noticesAwaited = false
		return
	}
	revision := int64(math.MaxInt64)
	for _, g := range t.others {
		if !g.noticed {
			return
		}
		revision = min(revision, g.revision)
	}
	if t.head.index.Len() > 0 || t.startsAfter(revision) {
		return
	}
	t.noticesAwaited = false
	t.send(&pb.WatchResponse{Header: t.header(revision), WatchId: clientv3.InvalidWatchID})
}

// startsAfter reports whether a watch starts later than at revision+1.
func (t *watchTable) startsAfter(revision int64) bool {
	for _, it := range t.watches {
		if it.Value.next > revision+1 {
			return true
		}
	}
	return false
}

// tick sends the periodic notices of progress. A watch gets one if it wants them, is up to date,
// and has had no event since the last tick. While the cache runs, up to date means that the watch
// has been given everything in the log of the cache. After the cache has ended, every watch gets
// its changes from the server, and counts as up to date.
func (t *watchTable) tick() {
	for _, it := range t.watches {
		w := &it.Value
		if !w.progress {
			continue
		}
		g := w.group
		if !w.busy && (g == t.head || t.view.err != nil) && w.next <= g.revision+1 {
			t.send(&pb.WatchResponse{Header: t.header(g.revision), WatchId: w.id})
		}
		w.busy = false
	}
}
