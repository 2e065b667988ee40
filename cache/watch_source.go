package cache

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// serverSource is a watch on the server for one group.
type serverSource struct {
	group *watchGroup
	ctx   context.Context
	end   context.CancelFunc
}

// stop ends the source. It does not wait.
func (s *serverSource) stop() {
	if s != nil {
		s.end()
	}
}

// sourced is what a source has received.
type sourced struct {
	source *serverSource
	resp   clientv3.WatchResponse
}

// takeSourced gives a response that a source has received to the source's group.
func (m *memoryStream) takeSourced(s sourced) {
	if s.source.group.source == s.source {
		m.table.look(m.cache.now())
		m.table.fromServer(s.source.group, &s.resp)
	}
}

// openSources opens a source for each group that needs one. A source ends with the stream, or when
// the log has all later changes; the memoryServer waits for it.
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
		// ends with the source; the Close of the Watcher waits
		m.server.tasks.Go(r.run)
	}
	m.table.orphans = nil
}
