package clientv3

import (
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
)

// errWatchSilent is why a stream is given up whose server answers requests for
// progress and has left one unanswered.
var errWatchSilent = errors.New("etcdclient: the watch stream is silent")

// watchProbe has the ticks of one watchStream: see watchAlive. They run one at a
// time, on the timer's goroutine; the watcher's Close waits for them.
type watchProbe struct {
	// read-only after startProbe
	timer  *time.Timer // nil: the stream is not probed
	origin time.Time

	// own synchronisation
	stale  atomic.Bool                       // the stream is new
	stream atomic.Pointer[grpc.ClientStream] // the latest
	heard  atomic.Int64                      // when something was received last, since origin
	// when the last probe was sent, since origin; 0: something was received since
	asked atomic.Int64
	took  atomic.Int64 // what the answer to it took

	// used by ticks only
	alive watchAlive
}

// startProbe begins the ticks of a stream of a watcher with a client.
func (st *watchStream) startProbe() {
	c := st.watcher.client
	if c == nil || c.conn == nil || c.cfg.DisableProbes {
		return
	}
	p := &st.probe
	p.origin = time.Now()
	p.stale.Store(true)
	// Written before the timer can fire, and read by its ticks alone otherwise.
	p.timer = time.AfterFunc(watchSettle, st.probeTick)
}

// stopProbe lets no further tick begin.
func (st *watchStream) stopProbe() {
	if st.probe.timer != nil {
		st.probe.timer.Stop()
	}
}

// opened notes that a stream is opened.
func (p *watchProbe) opened() {
	p.heard.Store(int64(time.Since(p.origin)))
	p.asked.Store(0)
	p.stale.Store(true)
}

// received notes a sign of life.
func (p *watchProbe) received() {
	if p.timer == nil {
		return
	}
	now := int64(time.Since(p.origin))
	p.heard.Store(now)
	if asked := p.asked.Swap(0); asked != 0 {
		p.took.Store(now - asked)
	}
}

// probeBroken forgets a request that the end of the stream has left unanswered.
func (st *watchStream) probeBroken() {
	if st.probe.timer != nil {
		st.watcher.client.progress.broken(st.address(), time.Now())
	}
}

// address returns that of the stream's server.
func (st *watchStream) address() string {
	if a := st.place.Address(); a != "" {
		return a
	}
	if s := st.probe.stream.Load(); s != nil {
		if p, ok := peer.FromContext((*s).Context()); ok && p.Addr != nil {
			return p.Addr.String()
		}
	}
	return ""
}

// probeTick is one tick. It ends with the stream's context at the latest.
func (st *watchStream) probeTick() {
	if !st.watcher.enter() {
		return
	}
	defer st.watcher.ticks.Done()
	p := &st.probe
	s := st.sight()
	if p.stale.Swap(false) {
		p.alive = watchAlive{due: s.now}
	}
	next := p.alive.step(s)
	st.take(next)
	if st.ctx.Err() == nil {
		p.timer.Reset(next.next)
	}
}

// sight gathers what a tick looks at.
func (st *watchStream) sight() watchSight {
	p, c := &st.probe, st.watcher.client
	s := watchSight{
		Liveness: st.mux.Liveness(), now: time.Since(p.origin),
		heard:   time.Duration(p.heard.Load()),
		waiting: p.asked.Load() != 0, took: time.Duration(p.took.Load()), tracked: c.table != nil,
	}
	if !s.Active {
		return s
	}
	address := st.address()
	if s.Notices > 0 {
		c.progress.answered(address)
	}
	s.answers, s.mayAsk = c.progress.look(address)
	s.mayAsk = s.mayAsk && (s.answers || !st.place.WithoutHealth())
	return s
}

// take does what a tick has decided.
func (st *watchStream) take(w watchStep) {
	p, c := &st.probe, st.watcher.client
	if w.shadows {
		if w.ask {
			c.progress.asks(st.address(), time.Now())
		}
		p.asked.Store(max(1, int64(time.Since(p.origin))))
		if !st.mux.Probe(w.ask, w.quiet) {
			p.asked.Store(0)
		}
	}
	if w.checkMembers {
		if !w.waitOn {
			p.asked.Store(0)
		}
		c.table.ProbeAll()
	}
	if w.reopen {
		st.link.Reconnect(errWatchSilent)
	}
}

// enter counts a tick in, and reports false once the watcher is closed.
func (w *watcher) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.ticks.Add(1)
	return true
}

// watching notes the stream that requests go out on.
func (p *watchProbe) watching(stream pb.Watch_WatchClient) {
	s := grpc.ClientStream(stream)
	p.stream.Store(&s)
}
