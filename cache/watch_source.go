package cache

import (
	"context"
	"math"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// serverSource is a watch on the server that brings one group of watches the changes that the log
// of the cache no longer has.
type serverSource struct {
	group *watchGroup
	ctx   context.Context
	end   context.CancelFunc
}

// stop ends the watch on the server. It does not wait for the goroutine that receives from it.
func (s *serverSource) stop() {
	if s != nil {
		s.end()
	}
}

// sourced is a response that a source has received. A source is a watch on the server that is made
// for a group of the Watcher's watches.
type sourced struct {
	source *serverSource
	resp   clientv3.WatchResponse
}

// takeSourced passes a response of a watch on the server (a source) to the group of watches that
// uses it. It ignores the response if the group has another source by now, or none.
func (m *memoryStream) takeSourced(s sourced) {
	if s.source.group.source == s.source {
		m.table.look(m.cache.now())
		m.table.fromServer(s.source.group, &s.resp)
	}
}

// openSources opens a source (a watch on the server) for each group of watches that needs one. If
// all watches of a group watch the same range, the source watches that range. Otherwise it watches
// the whole range of the cache. A source ends with the stream, or when its group can go on with the
// log.
//
// Once the cache has ended, no group goes on with the log. The server may then refuse the whole
// range of the cache and serve a part of it. So each range then has a source of its own.
func (m *memoryStream) openSources() {
	ended := m.table.view.err != nil
	if ended {
		m.table.splitOrphans()
	}
	for _, g := range m.table.orphans {
		items := g.index.All()
		r := &sourceReceiver{m: m, notices: ended, last: max(g.revision, earliest(items)-1)}
		r.key, r.end, r.wide = items[0].Key(), items[0].End(), false
		for _, it := range items {
			r.prevKV = r.prevKV || it.Value.prevKV
			r.wide = r.wide || it.Key() != r.key || it.End() != r.end
		}
		if r.wide {
			r.key, r.end, r.prevKV = m.cache.opts.from, m.cache.opts.end, true
		}
		s := &serverSource{group: g}
		s.ctx, s.end = context.WithCancel(m.sourceCtx)
		g.source, r.source = s, s
		// The goroutine ends when the source is stopped. Close of the Watcher waits for it.
		m.server.tasks.Go(r.run)
	}
	m.table.orphans = nil
}

// earliest returns the lowest revision whose changes one of the watches still needed when it joined
// its group. By now the group may have given the changes of this revision to the watch.
func earliest(items []*watchItem) int64 {
	revision := int64(math.MaxInt64)
	for _, it := range items {
		revision = min(revision, it.Value.next)
	}
	return revision
}
