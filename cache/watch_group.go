package cache

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/watchindex"
)

// memoryWatch is one watch that the cache answers from memory.
type memoryWatch struct {
	id int64
	// next is the lowest revision whose changes the watch still needs. Changes of lower revisions
	// came before the start of the watch, or were delivered.
	next     int64
	prevKV   bool
	noPut    bool
	noDelete bool
	progress bool // the watch wants periodic notices of progress (WithProgressNotify)
	busy     bool // the watch has had an event since the last periodic notices were sent
	group    *watchGroup
	pending  *pb.WatchResponse // the response that is being made for the watch; nil: none
}

// watchItem is a watch with the key or range that it watches.
type watchItem = watchindex.Item[memoryWatch]

// wants reports whether a change of a watched key is to be sent to the watch.
func (w *memoryWatch) wants(ch *change) bool {
	return ch.revision >= w.next && !(w.noPut && ch.New != nil) && !(w.noDelete && ch.New == nil)
}

// watchGroup is a set of watches of one stream that have reached the same revision. They get the
// next changes from the log of the cache. If the log no longer has these changes, they get them
// from a watch on the server.
type watchGroup struct {
	index watchindex.Index[memoryWatch]
	// at is the last log entry that the watches were given; nil if the log does not have their next
	// changes.
	at       *entry
	revision int64 // the watches have been given all changes up to this revision
	// source is the watch on the server that brings the next changes; nil if there is no such
	// watch.
	source *serverSource
	// noticed says that the source has sent a notice of progress since watchTable.awaitNotices was
	// last called.
	noticed bool
}

// add adds a watch that is in no group. The watch must have been given all changes from its own
// start up to the group's revision.
func (g *watchGroup) add(it *watchItem) {
	it.Value.group = g
	g.index.Add(it)
}

// skip makes all watches of the group ignore the changes up to a revision.
func (g *watchGroup) skip(revision int64) {
	for _, it := range g.index.All() {
		it.Value.next = max(it.Value.next, revision+1)
	}
}

// eventMaker makes the events of one change, at most two: one with the previous pair for the
// watches with WithPrevKV, and one for the others. All watches share these events.
type eventMaker struct {
	change      *change
	plain, prev *mvccpb.Event
}

func (m *eventMaker) event(prevKV bool) *mvccpb.Event {
	cached := &m.plain
	if prevKV && m.change.Old != nil {
		cached = &m.prev
	}
	if *cached == nil {
		*cached = newEvent(m.change, prevKV)
	}
	return *cached
}

// newEvent returns the event that a server would send for a change.
func newEvent(ch *change, prevKV bool) *mvccpb.Event {
	ev := &mvccpb.Event{Type: clientv3.EventTypePut, Kv: ch.New}
	if ch.New == nil {
		ev.Type = clientv3.EventTypeDelete
		ev.Kv = &mvccpb.KeyValue{Key: []byte(ch.Key), ModRevision: ch.revision}
	}
	if prevKV {
		ev.PrevKv = ch.Old
	}
	return ev
}

// route gives changes to the watches of the group that want them: for each change it adds an event
// to the pending response of the watch. The caller must then call flush, which sends these
// responses.
func (t *watchTable) route(g *watchGroup, changes []change) {
	var m eventMaker
	give := func(it *watchItem) {
		w := &it.Value
		if !w.wants(m.change) {
			return
		}
		if w.pending == nil {
			w.pending = &pb.WatchResponse{WatchId: w.id}
			t.touched = append(t.touched, w)
		}
		w.pending.Events = append(w.pending.Events, m.event(w.prevKV))
	}
	for i := range changes {
		m = eventMaker{change: &changes[i]}
		g.index.Each(m.change.Key, give)
	}
}

// flush sends all pending responses. The function route has put the events into them.
func (t *watchTable) flush(header *pb.ResponseHeader) {
	for i, w := range t.touched {
		w.pending.Header = header
		t.send(w.pending)
		w.pending, w.busy = nil, true
		t.touched[i] = nil
	}
	t.touched = t.touched[:0]
}

// batchChanges limits the changes that a group of watches reads from the log at a time while it is
// catching up. Then the next group reads.
const batchChanges = 1000

// reading is the result of reading the log for a group of watches.
type reading int

const (
	readSome reading = iota // the group has more of the log to read
	readAll                 // the group has read the entry at which to stop, or the newest one
	readLost                // the log no longer has the next changes of the group
)

// read gives the watches of a group the next entries of the log. It stops after the entry in end,
// or when it has given as many changes as the number in changes. It always takes whole entries.
func (t *watchTable) read(g *watchGroup, end *entry, changes int) reading {
	for looked := 0; looked < changes; {
		if g.at == end {
			return readAll
		}
		next, behind := g.at.following()
		switch {
		case behind && t.relink(g):
			continue
		case behind, next != nil && next.gap && next.last > g.revision:
			return readLost
		case next == nil:
			return readAll
		case next.gap:
			// The cluster was restored to a lower revision than the watches have seen. As on a
			// server, the watches wait until the cluster reaches their next revision.
			g.skip(g.revision)
			t.future = true
		default:
			t.route(g, next.changes)
			looked += len(next.changes)
		}
		g.at, g.revision = next, next.last
	}
	return readSome
}

// relink moves g.at to a later entry after the log has dropped the entry that the group has read
// last. It returns false if the log no longer has all changes that the group needs. It also returns
// false if the cluster was restored after the dropped entry was written: revisions from before and
// after a restore cannot be compared.
func (t *watchTable) relink(g *watchGroup) bool {
	at := t.history.before(g.revision + 1)
	if at == nil || at.era != g.at.era {
		return false
	}
	g.at = at
	g.skip(g.revision)
	return true
}
