package clientv3

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coreos/go-semver/semver"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/origin"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
	"google.golang.org/grpc/codes"
)

const (
	// watchProbePeriod is how often a watch stream is asked for progress on the
	// client's own behalf: it keeps the revisions to resume from close to the
	// store's, and shows that the member is alive.
	watchProbePeriod = time.Second
	// watchInspectEvery is after how many silent ticks a member is tested again
	// that may be silent for a reason.
	watchInspectEvery = 3
	// A stream that has answered none of watchEagerProbes requests, though it could,
	// is asked once in watchIdleProbe ticks: etcd's proxy takes such requests for
	// errors and logs them.
	watchEagerProbes = 5
	watchIdleProbe   = 30
	// watchVersionTimeout bounds the question for the members' versions.
	watchVersionTimeout = time.Second
)

// errWatchSilent is why a stream is given up that has answered requests for
// progress and answers them no more.
var errWatchSilent = errors.New("etcdclient: the watch stream is silent")

// watchProbe asks one stream for progress from time to time. Its ticks run one
// at a time, on the timer's goroutine; the watcher's Close waits for them.
type watchProbe struct {
	timer *time.Timer
	stale atomic.Bool // the stream is new

	// used by ticks only
	vetted  bool // whether trusted is known
	trusted bool // all members order progress after events
	proven  bool // the stream has answered
	ahead   bool // it may not answer yet
	asked   int  // how many ticks it had before it was proven, since it could answer
	silent  int  // ticks in a row without a sign of life
}

// startProbe begins the ticks of a stream of a watcher with a client.
func (st *watchStream) startProbe() {
	if st.watcher.client == nil || st.watcher.client.conn == nil || st.watcher.client.cfg.DisableProbes {
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
	p := &st.probe
	if p.stale.Swap(false) {
		p.vetted, p.trusted, p.proven, p.ahead, p.asked, p.silent = false, false, false, false, 0, 0
	}
	if !p.vetted {
		var err error
		p.trusted, err = st.watcher.client.ordersProgress(st.ctx)
		if p.vetted = err == nil; err != nil { // a member could not be asked just now
			st.watcher.client.table.Inspect()
		}
	}
	if p.trusted && !p.stale.Load() {
		st.mux.Trust()
	}
	st.judge(st.mux.Probe(p.trusted && p.due()))
	if st.ctx.Err() == nil {
		p.timer.Reset(watchProbePeriod)
	}
}

// due tells whether this tick asks for progress.
func (p *watchProbe) due() bool {
	if p.proven {
		return true
	}
	p.asked++
	return p.asked <= watchEagerProbes || p.asked%watchIdleProbe == 0
}

// judge acts on a stream that has gone silent: first its member is put to the
// test, which may end the connection; where that changes nothing, another stream
// is opened. On a stream with a watch from a revision that the store has not reached,
// a member in good health is silent too: there it is only put to the test, now and
// then; likewise where it is creates that have had no answer, and on a stream that
// never answered though it could, as through proxies, as long as that is new.
func (st *watchStream) judge(l watchmux.Liveness) {
	p := &st.probe
	if !l.Open || p.ahead && !l.Ahead {
		p.asked = 0 // nobody could have answered so far
	}
	p.proven, p.ahead = l.Proven, l.Ahead
	silent := l.Silent && (l.Proven || l.Ahead)
	isNew := l.Silent && p.asked <= watchEagerProbes
	if !silent && !isNew && !l.Mute {
		p.silent = 0
		return
	}
	p.silent++
	switch {
	case p.silent%watchInspectEvery == 1:
		st.watcher.client.table.Inspect()
	case silent && !l.Ahead:
		p.silent = 0
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
// progress that the client asks for could make it skip events. A member that
// answers anything but its version is taken for one that does not, unless it
// refuses the token: then a new one is got, to ask again with.
func (c *Client) ordersProgress(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(origin.Client(ctx), watchVersionTimeout)
	defer cancel()
	return c.table.All(ctx, func(ctx context.Context) (bool, error) {
		seen := uint64(0)
		if c.tokens != nil {
			seen = c.tokens.Generation()
		}
		resp, err := pb.NewMaintenanceClient(c.conn).Status(ctx, &pb.StatusRequest{})
		switch classify.Code(err) {
		case codes.OK:
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
			return false, err
		default:
			if classify.IsAuthRefresh(err) && c.tokens != nil && c.mayRenew(ctx, seen) {
				return false, err
			}
			return false, nil
		}
		v, err := semver.NewVersion(resp.GetVersion())
		return err == nil && versionOrdersProgress(*v), nil
	})
}

// mayRenew renews the token of generation seen. It reports false where no other can
// be had.
func (c *Client) mayRenew(ctx context.Context, seen uint64) bool {
	err := c.tokens.Refresh(ctx, seen)
	return err == nil || !errors.Is(err, authtoken.ErrStatic) && !classify.IsHalt(ctx, err)
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
