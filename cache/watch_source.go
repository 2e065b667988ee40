package cache

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// sourceAsks is the time between requests for progress to the server while watches get their
// changes from it. With the answers, watches without changes come back to the log.
const sourceAsks = 500 * time.Millisecond

// clientClosed is why a watch ends whose source was closed without a reason.
const clientClosed = "cache: the client is closed"

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

// takeSourced gives a group what its source has received.
func (m *memoryStream) takeSourced(s sourced) {
	if s.source.group.source == s.source {
		m.table.look(m.cache.now())
		m.table.fromServer(s.source.group, &s.resp)
	}
}

// openSources opens a source for each group that needs one. Sources end with the stream, or when
// the log has what follows; the memoryServer waits for them.
func (m *memoryStream) openSources() {
	for _, g := range m.table.orphans {
		key, end, prevKV := m.cache.opts.from, m.cache.opts.end, true
		if items := g.index.All(); len(items) == 1 {
			key, end, prevKV = items[0].Key(), items[0].End(), items[0].Value.prevKV
		}
		opts := []clientv3.OpOption{clientv3.WithRev(g.revision + 1), clientv3.WithFragment()}
		if end != "" {
			opts = append(opts, clientv3.WithRange(end))
		}
		if prevKV {
			opts = append(opts, clientv3.WithPrevKV())
		}
		s := &serverSource{group: g}
		s.ctx, s.end = context.WithCancel(m.sourceCtx)
		g.source = s
		// ends with the source; the Close of the Watcher waits
		m.server.tasks.Go(func() { m.receive(s, key, opts) })
	}
	m.table.orphans = nil
}

// receive watches on the server until the source is stopped, or the server ends the watch.
func (m *memoryStream) receive(s *serverSource, key string, opts []clientv3.OpOption) {
	defer s.stop()
	client := m.cache.client
	ch := client.Watch(s.ctx, key, opts...)
	ask := time.NewTicker(sourceAsks)
	defer ask.Stop()
	_ = client.RequestProgress(s.ctx) // asked again
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ask.C:
			_ = client.RequestProgress(s.ctx) // asked again
		case resp, ok := <-ch:
			if !ok {
				resp = clientv3.WatchResponse{Canceled: true, CancelReason: clientClosed}
			}
			if resp.IsProgressNotify() && !m.cache.trusts(&resp) {
				continue
			}
			select {
			case m.sourced <- sourced{s, resp}:
			case <-s.ctx.Done():
				return
			}
			if resp.Canceled || !ok {
				return
			}
		}
	}
}
