package cache

import (
	"context"

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

// sourced is a response that a watch on the server (a source) has received for a group of watches.
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

// openSources opens a source (a watch on the server) for each group of watches that needs one. The
// source of a single watch watches the range of that watch. The source of several watches watches
// the whole range of the cache. A source ends with the stream, or when its group can go on with the
// log.
func (m *memoryStream) openSources() {
	for _, g := range m.table.orphans {
		r := &sourceReceiver{m: m, last: g.revision, prevKV: true, wide: true,
			key: m.cache.opts.from, end: m.cache.opts.end}
		if items := g.index.All(); len(items) == 1 {
			r.key, r.end, r.wide = items[0].Key(), items[0].End(), false
			r.prevKV = items[0].Value.prevKV
		}
		s := &serverSource{group: g}
		s.ctx, s.end = context.WithCancel(m.sourceCtx)
		g.source, r.source = s, s
		// The goroutine ends when the source is stopped. Close of the Watcher waits for it.
		m.server.tasks.Go(r.run)
	}
	m.table.orphans = nil
}
