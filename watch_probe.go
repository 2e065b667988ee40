package clientv3

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	// watchProbePeriod is how often a watch stream is asked for progress on the
	// client's own behalf: it keeps the revisions to resume from close to the
	// store's, and shows that the member is alive.
	watchProbePeriod = time.Second
	// watchInspectEvery is after how many silent ticks a member is tested again
	// that may be silent for a reason.
	watchInspectEvery = 4
	// watchVersionTimeout bounds the question for the members' versions.
	watchVersionTimeout = 2 * time.Second
)

// errWatchSilent is why a stream is given up that has answered requests for
// progress and answers them no more.
var errWatchSilent = errors.New("etcdclient: the watch stream is silent")

// watchProbe asks one stream for progress from time to time. Its ticks run one
// at a time, on the timer's goroutine; the watcher's Close waits for them.
type watchProbe struct {
	timer   *time.Timer
	trusted bool // used by ticks only: all members order progress after events
	silent  int  // likewise: ticks in a row without a sign of life
	stale   atomic.Bool
}

// startProbe begins the ticks of a stream of a watcher with a client.
func (st *watchStream) startProbe() {
	if st.watcher.client == nil || st.watcher.client.conn == nil {
		return
	}
	st.probe.stale.Store(true)
	// Written before the timer can fire, and read by its ticks alone otherwise.
	st.probe.timer = time.AfterFunc(watchProbePeriod, st.probeTick)
}

// stopProbe lets no further tick begin.
func (st *watchStream) stopProbe() {
	if st.probe.timer != nil {
		st.probe.timer.Stop()
	}
}

// probeTick is one tick. It ends with the stream's context at the latest.
func (st *watchStream) probeTick() {
	if !st.watcher.enter() {
		return
	}
	defer st.watcher.ticks.Done()
	if st.probe.stale.Swap(false) {
		st.probe.trusted = st.watcher.client.ordersProgress(st.ctx)
	}
	if st.probe.trusted {
		st.judge()
	}
	if st.ctx.Err() == nil {
		st.probe.timer.Reset(watchProbePeriod)
	}
}

// judge asks for progress, and acts on a stream that has gone silent: first its
// member is put to the test, which may end the connection; where that changes
// nothing, another stream is opened. A stream that never answered, as through
// proxies, is left to its transport. On one with a watch from a revision that the
// store has not reached, a member in good health is silent too: there it is only
// put to the test, now and then.
func (st *watchStream) judge() {
	l := st.mux.Probe()
	if !l.Open || !l.Proven || !l.Silent {
		st.probe.silent = 0
		return
	}
	st.probe.silent++
	switch {
	case st.probe.silent%watchInspectEvery == 1:
		st.watcher.client.table.Inspect()
	case !l.Ahead:
		st.probe.silent = 0
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

// ordersProgress asks every connected member for its version, and reports
// whether all send progress only after the events that it speaks for. Otherwise
// progress that the client asks for could make it skip events.
func (c *Client) ordersProgress(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, watchVersionTimeout)
	defer cancel()
	ordered := true
	err := c.table.Each(ctx, func(ctx context.Context) error {
		resp, err := pb.NewMaintenanceClient(c.conn).Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		v, err := semver.NewVersion(resp.GetVersion())
		ordered = ordered && err == nil && versionOrdersProgress(*v)
		return nil
	})
	return err == nil && ordered
}

// versionOrdersProgress knows the releases that first did so: 3.4.25 and 3.5.8.
func versionOrdersProgress(v semver.Version) bool {
	for _, first := range []semver.Version{{Major: 3, Minor: 4, Patch: 25}, {Major: 3, Minor: 5, Patch: 8}} {
		if v.Major == first.Major && v.Minor == first.Minor {
			return !v.LessThan(first)
		}
	}
	return !v.LessThan(semver.Version{Major: 3, Minor: 6})
}
