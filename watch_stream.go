package clientv3

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

const (
	// watchWindow is how many watches are created at a time on a server that lets
	// the client choose their ids, and watchBulk how many must wait for that to be
	// tried: fewer are created as fast one by one.
	watchWindow = 128
	watchBulk   = 16
	// watchOverdue is how long a server may take over the first of them before the
	// watch is asked for without an id as well.
	watchOverdue = 250 * time.Millisecond
	// watchHold is the time between two looks at watches that are held back because
	// a message was over the limit.
	watchHold = time.Second
	// minFragment is what fragments of a server with default settings need: its
	// limit for requests of 1.5 MiB, and 512 KiB. A client with a lower limit for
	// what it receives gains nothing by asking for them.
	minFragment = 2 << 20
	// watchLinger is what a stream without watches gets to end by itself.
	watchLinger = 50 * time.Millisecond
	// watchRefusal is the shortest time between two new streams because of refusals
	// that do not name the token as their reason.
	watchRefusal = time.Second
)

// watchBackoff spaces the attempts to open a stream that breaks: under 20 a
// second also where each one works for a moment.
var watchBackoff = backoff.Policy{Base: 100 * time.Millisecond, Max: maxBackoffWait, Jitter: 0.3}

type (
	watchLink   = bidi.Link[pb.WatchRequest, pb.WatchResponse]
	watchGRPC   = bidi.Stream[pb.WatchRequest, pb.WatchResponse]
	backlogNote struct{ responses, bytes int }
)

// watchStream is a mux with its link, and what the two need to know of etcd: how
// to open a stream, with which token, and what to log. It is the link's handler.
type watchStream struct {
	// read-only after newWatchStream
	watcher *watcher
	key     string
	ctx     context.Context // ends with the watcher, has the values of the first watch's
	link    *watchLink
	mux     *watchmux.Mux

	// own synchronisation
	overdue timerSlot
	hold    timerSlot
	probe   watchProbe
	place   balancer.StreamTarget

	// used by the link's receive goroutine only
	token     uint64    // the generation that the current stream was opened with
	refresh   bool      // it was refused: the next stream needs another
	refreshed time.Time // when that was last the case
	backlog   backlogNote
}

// newWatchStream makes the stream of watches that share the metadata of ctx. Of
// ctx it keeps the values, not the end.
func newWatchStream(ctx context.Context, w *watcher, key string) *watchStream {
	st := &watchStream{watcher: w, key: key}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(w.ctx, cancel)
	st.ctx = life
	st.link = bidi.New(life, st.dial, bidi.Options{
		Backoff: watchBackoff,
		Linger:  watchLinger,
		Done: func() {
			release()
			cancel()
			st.stopProbe()
			st.overdue.stop()
			st.hold.stop()
			w.forget(st)
		},
	})
	st.mux = watchmux.New(st.link, watchmux.Config{
		Window: watchWindow, MinBatch: watchBulk, Refused: st.refused,
		Fragments: w.maxReceived >= minFragment, Servers: &w.servers,
		Probing: func(id int64) { st.overdue.start(watchOverdue, func() { st.mux.Overdue(id) }) },
		Holding: func() { st.hold.start(watchHold, st.mux.Release) },
	})
	return st
}

// dial opens a stream, with a new token if the last one was refused. A token that
// cannot be had now is waited for; with one that cannot be had at all the server
// may say what is wrong.
func (st *watchStream) dial(ctx context.Context) (watchGRPC, error) {
	if tokens := st.watcher.tokens; tokens != nil {
		if st.refresh {
			err := tokens.Refresh(ctx, st.token)
			if err != nil && !errors.Is(err, authtoken.ErrStatic) && !classify.IsHalt(ctx, err) {
				return nil, err
			}
			st.refresh = false
		}
		st.token = tokens.Generation()
	}
	stream, err := st.watcher.remote.Watch(st.place.With(ctx))
	if err != nil {
		return nil, err
	}
	st.probe.watching(stream)
	return stream, nil
}

// Opened implements bidi.Handler.
func (st *watchStream) Opened(fill func(...*pb.WatchRequest)) {
	st.probe.opened()
	st.mux.Opened(fill)
}

// Received implements bidi.Handler.
func (st *watchStream) Received(resp *pb.WatchResponse) {
	st.probe.received()
	st.mux.Received(resp)
	if st.backlog.responses > 0 {
		st.logBacklog()
		st.backlog = backlogNote{}
	}
}

// Broken implements bidi.Handler.
func (st *watchStream) Broken(err error) (redial bool, wait time.Duration) {
	if over := st.watcher.over(); over != nil || st.ctx.Err() != nil {
		st.mux.Halt(cmp.Or(over, context.Canceled))
		return false, 0
	}
	if classify.IsAuthRefresh(err) && st.watcher.tokens != nil {
		st.refresh = true
	}
	st.probeBroken()
	redial, wait = st.mux.Broken(err)
	if redial {
		st.place.AvoidLast()
		if ok, denied := st.watcher.breakLog.allow(time.Now()); ok {
			st.watcher.logger().Debug("watch stream broken, opening it again", zap.Error(err),
				zap.Int64("not-logged", denied))
		}
	}
	return redial, wait
}

// refused decides for a refused watch whether another token may help, which takes
// another stream: a stream keeps the token it was opened with. Refusals that name
// the token always get one; of others not each, lest a consumer who asks again and
// again for what it may not have keeps all others resuming.
func (st *watchStream) refused(reason string) (reconnect bool) {
	tokens := st.watcher.tokens
	if tokens == nil || st.refresh {
		return st.refresh
	}
	now := time.Now()
	if tokens.Generation() == st.token && !classify.IsAuthRefresh(reasonError(reason)) &&
		now.Sub(st.refreshed) < watchRefusal {
		return false
	}
	st.refresh, st.refreshed = true, now
	return true
}

// timerSlot holds at most one timer that is to fire.
type timerSlot struct{ timer atomic.Pointer[time.Timer] }

// start has f called after d, and not what was to be called before.
func (s *timerSlot) start(d time.Duration, f func()) {
	if last := s.timer.Swap(time.AfterFunc(d, f)); last != nil {
		last.Stop()
	}
}

func (s *timerSlot) stop() {
	if t := s.timer.Load(); t != nil {
		t.Stop()
	}
}

// noteBacklog remembers the deepest backlog, to be logged without locks.
func (st *watchStream) noteBacklog(responses, bytes int) {
	if responses > st.backlog.responses {
		st.backlog = backlogNote{responses, bytes}
	}
}

func (st *watchStream) logBacklog() {
	if ok, denied := st.watcher.lagLog.allow(time.Now()); ok {
		st.watcher.logger().Warn("a watch's consumer lags behind",
			zap.Int("responses", st.backlog.responses),
			zap.Int("bytes", st.backlog.bytes), zap.Int64("not-logged", denied))
	}
}

// finalResponse is the last response of a watch that ended as f says.
func finalResponse(f watchmux.Final) WatchResponse {
	if f.Err != nil {
		return WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true,
			closeErr: rpctypes.Error(f.Err)}
	}
	return WatchResponse{Header: f.Header, Canceled: true, CompactRevision: f.CompactRevision,
		CancelReason: f.Reason}
}
