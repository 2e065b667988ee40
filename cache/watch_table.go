package cache

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/watchindex"
)

// The reasons with which etcd's server refuses a watch.
const (
	emptyRange  = "mvcc: watcher range is empty"
	duplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// watchTable does what a server does for one watch stream. It takes requests and changes, and makes
// the responses that etcd's server would make. It is pure data, used by one goroutine.
//
// Watches that have been given everything in the log of the cache are in the head group. Its index
// finds the watches of a changed key, so that a change costs nothing for watches of other keys. A
// watch that starts in the past is in another group until it has caught up. Groups change as
// follows:
//
//   - When another group has been given as much as the head group, its watches join the head group.
//   - If the log has dropped the next changes of another group, or the cache has missed them, the
//     group gets them from the server. When the log has its next changes again, the group goes on
//     with the log.
//   - If the log loses changes that the head group still needs, the head group becomes one of the
//     other groups. A new, empty group becomes the head group.
type watchTable struct {
	history *history
	view    *view // the newest view (state of the cache) that the stream has seen
	watches map[int64]*watchItem
	lastID  int64         // the next id to try for a watch that lets the table choose its id
	head    *watchGroup   // the watches that are up to date with the log
	others  []*watchGroup // the watches that are catching up
	turn    int           // counts up, so that the other groups read the log in turn
	// asked is the lowest revision at which a consumer's request for progress may be answered; 0 if
	// there is no request.
	asked int64
	// noticesAwaited says that a consumer's request for progress is to be answered when the server
	// has sent a notice of progress for each group. It is set only after the cache has ended.
	noticesAwaited bool
	// future says that there may be a watch that starts later than at head.revision+1. Such a watch
	// delays the answer to a request for progress.
	future  bool
	touched []*memoryWatch      // the watches with a pending response
	out     []*pb.WatchResponse // the responses for Recv
	sent    int                 // how many responses of out were taken
	// orphans has those groups in the field others that need a watch on the server and do not have
	// one yet.
	orphans []*watchGroup
}

func newWatchTable(h *history, v *view) *watchTable {
	return &watchTable{history: h, view: v, watches: make(map[int64]*watchItem),
		head: &watchGroup{at: v.last, revision: v.logged}}
}

// send adds a response to the queue from which the method take takes responses.
func (t *watchTable) send(resp *pb.WatchResponse) { t.out = append(t.out, resp) }

// take returns the next queued response, or nil if there is none.
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

// header returns the header for a response at the given revision.
func (t *watchTable) header(revision int64) *pb.ResponseHeader {
	return t.view.origin.header(revision)
}

// look makes v the view of the table: the newest state of the cache that the table knows. The head
// group has the watches that are up to date with the log. If it is empty, look also moves it to the
// newest log entry of v.
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

// create adds a watch and confirms it to the consumer, or refuses it as a server would.
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

// watchRange returns the key or range of a create request. An empty key stands for the first of all
// keys.
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

// place puts a new watch into the head group, whose watches have been given everything in the log
// of the cache. A watch that starts in the past gets a group of its own.
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

// resume finds out where g, a group of t.others, gets its next changes:
//
//   - g is as far as the head group: its watches join the head group, and resume returns true
//   - the log has g's next changes: g goes on with the log, and resume returns true
//   - otherwise: g needs a watch on the server, and resume returns false
//
// After the end of the cache, resume always returns false, because the log gets no more entries.
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

// merge moves all watches of g, a group of t.others, to the head group.
func (t *watchTable) merge(g *watchGroup) {
	g.skip(g.revision)
	for _, it := range g.index.All() {
		t.future = t.future || it.Value.next > t.head.revision+1
		g.index.Remove(it)
		t.head.add(it)
	}
	t.drop(g)
}

// drop removes the group g from t.others, and ends its watch on the server if it has one.
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

// cancel ends a watch and confirms the end to the consumer. It does nothing if the watch does not
// exist.
func (t *watchTable) cancel(id int64) {
	it := t.watches[id]
	if it == nil {
		return
	}
	t.remove(it)
	t.send(&pb.WatchResponse{Header: t.header(t.view.revision), WatchId: id, Canceled: true})
}

// splitOrphans splits t.orphans, the groups that need a watch on the server, into groups whose
// watches all have the same range.
func (t *watchTable) splitOrphans() {
	for _, g := range t.orphans {
		groups := map[[2]string]*watchGroup{}
		for _, it := range g.index.All() {
			keys := [2]string{it.Key(), it.End()}
			switch own := groups[keys]; {
			case own == g:
				continue
			case own == nil && len(groups) == 0:
				groups[keys] = g
				continue
			case own == nil:
				groups[keys] = &watchGroup{revision: g.revision}
				t.others = append(t.others, groups[keys])
				t.orphans = append(t.orphans, groups[keys])
			}
			g.index.Remove(it)
			groups[keys].add(it)
		}
	}
}

// remove removes a watch. If it was the last one of a group other than the head group, remove also
// drops the group.
func (t *watchTable) remove(it *watchItem) {
	g := it.Value.group
	delete(t.watches, it.Value.id)
	g.index.Remove(it)
	if g != t.head && g.index.Len() == 0 {
		t.drop(g)
	}
}

// fromServer passes a response of a group's watch on the server to the watches of the group. If the
// log then has the group's next changes, the group goes on with the log.
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
		g.revision, g.noticed = max(g.revision, resp.Header.Revision), true
	}
	t.leaveServer(g)
}

// leaveServer ends a group's watch on the server if the log of the cache has the group's next
// changes.
func (t *watchTable) leaveServer(g *watchGroup) {
	if t.resume(g) {
		g.source.stop()
		g.source = nil
	}
}

// refuse ends the watches of a group with the error that the server has given. If that error says
// that revisions were compacted, the watches that start at or after the compacted revision go on.
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

// changeOf converts an event of the server to a change.
func changeOf(ev *mvccpb.Event) change {
	ch := change{revision: ev.Kv.ModRevision}
	ch.Key, ch.Old = string(ev.Kv.Key), ev.PrevKv
	if ev.Type == clientv3.EventTypePut {
		ch.New = ev.Kv
	}
	return ch
}
