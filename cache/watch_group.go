package cache

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/client/v3/cache/internal/watchindex"
)

// memoryWatch is one watch that a cache serves.
type memoryWatch struct {
	id       int64
	next     int64 // changes of lower revisions are not for it: older than its start, or delivered
	prevKV   bool
	noPut    bool
	noDelete bool
	progress bool // it wants notices of progress from time to time
	busy     bool // it had an event since the last time for notices
	group    *watchGroup
	pending  *pb.WatchResponse // its response that is being made; nil: none
}

// watchItem is a watch with its range.
type watchItem = watchindex.Item[memoryWatch]

// wants reports whether a change is for the watch.
func (w *memoryWatch) wants(ch *change) bool {
	return ch.revision >= w.next && !(w.noPut && ch.New != nil) && !(w.noDelete && ch.New == nil)
}

// watchGroup is a set of watches of one stream that have been given the changes up to the same
// revision. They get the next ones from the log, or from the server where the log does not have
// them.
type watchGroup struct {
	index    watchindex.Index[memoryWatch]
	at       *entry        // the last entry that they have been given; nil: not in the log
	revision int64         // they have been given all changes up to this revision
	source   *serverSource // what the server sends for them; nil if the log has it
}

// add adds a watch that is in no group. From the first revision that the watch wants, it must need
// the same changes as the group.
func (g *watchGroup) add(it *watchItem) {
	it.Value.group = g
	g.index.Add(it)
}

// skip has all watches ignore the changes up to a revision.
func (g *watchGroup) skip(revision int64) {
	for _, it := range g.index.All() {
		it.Value.next = max(it.Value.next, revision+1)
	}
}

// eventMaker makes the events of one change: one for the watches that want the previous pair, and
// one for the others. They are shared by all of them.
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

// newEvent returns the event that a server sends for a change.
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

// route adds changes to the next response of each watch that wants them. flush makes the responses.
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

// flush sends the response of each watch that was given changes.
func (t *watchTable) flush(header *pb.ResponseHeader) {
	for i, w := range t.touched {
		w.pending.Header = header
		t.send(w.pending)
		w.pending, w.busy = nil, true
		t.touched[i] = nil
	}
	t.touched = t.touched[:0]
}

// batchChanges is about how many changes of the log are read for one response to a watch that
// catches up.
const batchChanges = 1000

// reading says how far a group has read the log.
type reading int

const (
	readSome reading = iota // there is more to read
	readAll                 // it is at the end
	readLost                // the log does not have what comes next
)

// read gives a group the next entries of the log, up to and including the entry end, until it has
// read the given number of changes.
func (t *watchTable) read(g *watchGroup, end *entry, changes int) reading {
	for looked := 0; looked < changes; {
		if g.at == end {
			return readAll
		}
		next, behind := g.at.following()
		switch {
		case behind, next != nil && next.gap && next.last > g.revision:
			return readLost
		case next == nil:
			return readAll
		case next.gap:
			// The cluster went back in time. A watch on it waits for its next revision.
			g.skip(g.revision)
		default:
			t.route(g, next.changes)
			looked += len(next.changes)
		}
		g.at, g.revision = next, next.last
	}
	return readSome
}
