package cache

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/watchindex"
)

// The reasons that etcd's server gives for refusing a watch.
const (
	emptyRange  = "mvcc: watcher range is empty"
	duplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// watchTable is the server's side of one watch stream: it takes requests and changes, and makes the
// responses that etcd's server makes. It is pure data, used by one goroutine.
//
// Watches that have been given all that the log has are in the head group. One index routes a
// change to those that it is for, so that the others cost nothing. A watch that starts in the past,
// and watches that have lost the log, are in a group of their own until they have caught up.
//
//	others, reading the log     at the head's entry: they join the head
//	                            the entry was dropped, or a gap follows: the server
//	others, from the server     their next revision is in the log: reading the log
//	                            their next revision is after the head's: they join the head
//	head                        the entry was dropped, or a gap follows: it becomes one of the
//	                            others, from the server, and an empty head takes its place
type watchTable struct {
	history *history
	view    *view // the newest one that is synced
	watches map[int64]*watchItem
	lastID  int64
	head    *watchGroup
	others  []*watchGroup
	turn    int   // which of the others reads next
	asked   int64 // a notice of progress at this revision or later is asked for; 0: none
	future  bool  // a watch may start after the head's revision
	touched []*memoryWatch
	out     []*pb.WatchResponse
	sent    int           // how many of out were taken
	orphans []*watchGroup // others that have no source yet
}

func newWatchTable(h *history, v *view) *watchTable {
	return &watchTable{history: h, view: v, watches: make(map[int64]*watchItem),
		head: &watchGroup{at: v.last, revision: v.logged}}
}

// send adds a response to those that take will return.
func (t *watchTable) send(resp *pb.WatchResponse) { t.out = append(t.out, resp) }

// take returns the next response, or nil.
func (t *watchTable) take() *pb.WatchResponse {
	if t.sent == len(t.out) {
		t.out, t.sent = t.out[:0], 0
		return nil
	}
	resp := t.out[t.sent]
	t.out[t.sent] = nil
	t.sent++
	return resp
}

// header returns the header of a response at a revision.
func (t *watchTable) header(revision int64) *pb.ResponseHeader {
	return t.view.origin.header(revision)
}

// look makes v the newest view. A head group without watches moves on to it.
func (t *watchTable) look(v *view) {
	t.view = v
	if t.head.index.Len() == 0 {
		t.head.at, t.head.revision = v.last, v.logged
	}
}

// request handles a request to create or to cancel a watch.
func (t *watchTable) request(req *pb.WatchRequest) {
	switch r := req.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		if r.CreateRequest != nil {
			t.create(r.CreateRequest)
		}
	case *pb.WatchRequest_CancelRequest:
		t.cancel(r.CancelRequest.GetWatchId())
	}
}

// create adds a watch and confirms it, or refuses it as a server would.
func (t *watchTable) create(req *pb.WatchCreateRequest) {
	key, end := watchRange(req)
	reason := ""
	switch id := req.WatchId; {
	case end != "" && end != watchindex.ToEnd && end <= key:
		reason = emptyRange
	case id != clientv3.AutoWatchID && t.watches[id] != nil:
		reason = duplicateID
	}
	if reason != "" {
		t.send(&pb.WatchResponse{Header: t.header(t.view.revision), Created: true, Canceled: true,
			WatchId: clientv3.InvalidWatchID, CancelReason: reason})
		return
	}
	w := memoryWatch{id: t.newID(req.WatchId), next: req.StartRevision, prevKV: req.PrevKv,
		progress: req.ProgressNotify,
		noPut:    slices.Contains(req.Filters, pb.WatchCreateRequest_NOPUT),
		noDelete: slices.Contains(req.Filters, pb.WatchCreateRequest_NODELETE),
	}
	if w.next == 0 {
		w.next = t.view.revision + 1
	}
	it := watchindex.NewItem(key, end, w)
	t.watches[w.id] = it
	t.send(&pb.WatchResponse{Header: t.header(t.view.revision), WatchId: w.id, Created: true})
	t.place(it)
}

// watchRange returns the range of a create request in the form that the index takes.
func watchRange(req *pb.WatchCreateRequest) (key, end string) {
	key, end = string(req.Key), string(req.RangeEnd)
	if key == "" {
		key = "\x00"
	}
	return key, end
}

func (t *watchTable) newID(id int64) int64 {
	for id == clientv3.AutoWatchID {
		if t.watches[t.lastID] == nil {
			id = t.lastID
			t.lastID++
			return id
		}
		t.lastID++
	}
	return id
}

// place puts a new watch into the head group, or into a group of its own if it starts in the past.
func (t *watchTable) place(it *watchItem) {
	next := it.Value.next
	if next > t.head.revision {
		t.future = t.future || next > t.head.revision+1
		t.head.add(it)
		return
	}
	g := &watchGroup{revision: next - 1}
	g.add(it)
	t.others = append(t.others, g)
	t.resume(g)
}

// resume has one of the other groups go on after its revision: in the head group, or with the log,
// or, if neither has its next changes, with a watch on the server. It returns false in the last
// case. Once the cache has ended, the log gets no more entries, so only the server has the next
// changes.
func (t *watchTable) resume(g *watchGroup) (found bool) {
	if t.view.err == nil {
		if g.revision >= t.head.revision {
			t.merge(g)
			return true
		}
		if g.at = t.history.before(g.revision + 1); g.at != nil {
			g.skip(g.revision)
			return true
		}
	}
	if g.source == nil {
		t.orphans = append(t.orphans, g)
	}
	return false
}

// merge moves the watches of one of the other groups to the head group.
func (t *watchTable) merge(g *watchGroup) {
	g.skip(g.revision)
	for _, it := range g.index.All() {
		t.future = t.future || it.Value.next > t.head.revision+1
		g.index.Remove(it)
		t.head.add(it)
	}
	t.drop(g)
}

// drop removes one of the other groups, and ends its watch on the server.
func (t *watchTable) drop(g *watchGroup) {
	if i := slices.Index(t.others, g); i >= 0 {
		t.others = slices.Delete(t.others, i, i+1)
	}
	if i := slices.Index(t.orphans, g); i >= 0 {
		t.orphans = slices.Delete(t.orphans, i, i+1)
	}
	g.source.stop()
	g.source = nil
}

// cancel ends a watch, if it exists, and confirms that.
func (t *watchTable) cancel(id int64) {
	it := t.watches[id]
	if it == nil {
		return
	}
	t.remove(it)
	t.send(&pb.WatchResponse{Header: t.header(t.view.revision), WatchId: id, Canceled: true})
}

// remove removes a watch, and its group if that has no other watch.
func (t *watchTable) remove(it *watchItem) {
	g := it.Value.group
	delete(t.watches, it.Value.id)
	g.index.Remove(it)
	if g != t.head && g.index.Len() == 0 {
		t.drop(g)
	}
}

// fromServer passes a response of a group's watch on the server to the watches of the group. If the
// log has all later changes by then, the group goes on with the log.
func (t *watchTable) fromServer(g *watchGroup, resp *clientv3.WatchResponse) {
	switch err := resp.Err(); {
	case err != nil:
		t.refuse(g, resp, err)
		return
	case len(resp.Events) > 0:
		changes := make([]change, len(resp.Events))
		for i, ev := range resp.Events {
			changes[i] = changeOf(ev)
		}
		t.route(g, changes)
		t.flush(resp.Header)
		g.revision = changes[len(changes)-1].revision
	case resp.IsProgressNotify():
		g.revision = max(g.revision, resp.Header.Revision)
	}
	t.leaveServer(g)
}

// leaveServer ends the watch on the server of a group, if the log has the group's next changes.
func (t *watchTable) leaveServer(g *watchGroup) {
	if t.resume(g) {
		g.source.stop()
		g.source = nil
	}
}

// refuse ends the watches of a group for the reason that the server has given. If the reason is a
// compaction, watches that start after it go on.
func (t *watchTable) refuse(g *watchGroup, resp *clientv3.WatchResponse, err error) {
	header := resp.Header
	if header == nil {
		header = t.header(t.view.revision)
	}
	reason := resp.CancelReason
	if reason == "" && resp.CompactRevision == 0 {
		reason = err.Error()
	}
	later := &watchGroup{revision: max(g.revision, resp.CompactRevision-1)}
	for _, it := range g.index.All() {
		w := &it.Value
		if resp.CompactRevision != 0 && w.next >= resp.CompactRevision {
			g.index.Remove(it)
			later.add(it)
			continue
		}
		t.send(&pb.WatchResponse{Header: header, WatchId: w.id, Canceled: true,
			CompactRevision: resp.CompactRevision, CancelReason: reason})
		t.remove(it)
	}
	t.drop(g)
	if later.index.Len() > 0 {
		t.others = append(t.others, later)
		t.resume(later)
	}
}

// changeOf returns the change that an event of the server shows.
func changeOf(ev *mvccpb.Event) change {
	ch := change{revision: ev.Kv.ModRevision}
	ch.Key, ch.Old = string(ev.Kv.Key), ev.PrevKv
	if ev.Type == clientv3.EventTypePut {
		ch.New = ev.Kv
	}
	return ch
}
