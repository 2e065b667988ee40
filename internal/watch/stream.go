package watch

import (
	"cmp"
	"context"
	"math"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

const (
	// window is how many creates (the requests that start watches) may be in flight. It applies if
	// the server accepts watch ids that the client chooses. To find that out, the client sends one
	// create with such an id when minBatch watches are queued. Fewer watches are created just as
	// fast one by one.
	window   = 128
	minBatch = 16
	// createOverdue is how long a server may take to answer the first create with an id that the
	// client chose. If it takes longer, a second create is sent for the watch, without an id.
	createOverdue = 250 * time.Millisecond
	// holdPeriod is the time from watchmux.Config.Holding to Mux.Release. The mux calls Holding
	// when it pauses watches because of a message that was too large for the client. After a few
	// calls of Release, the watches resume.
	holdPeriod = time.Second
	// minFragment is the size of the fragments that a server with default settings sends. It is the
	// server's limit for requests (1.5 MiB) plus 512 KiB. If the client cannot receive so much in
	// one message, fragments are of no use, and the mux does not ask for them.
	minFragment = 2 << 20
	// linger is how long the client waits for the server to end a stream that has no watches left,
	// before it cancels the stream.
	linger = 50 * time.Millisecond
	// refusalPeriod limits how often refused creates make a stream reconnect. A create is the
	// request that starts a watch. Within this period after such a reconnect, the stream reconnects
	// again only if its authentication token was refused or replaced.
	refusalPeriod = time.Second
)

// StreamBackoff is the wait before a stream is opened again. It grows with each stream that ends
// without a message from the server. After a stream with a message, it is short again. Even then,
// fewer than 20 streams are opened in a second.
var StreamBackoff = backoff.Policy{Base: 100 * time.Millisecond, Max: 1500 * time.Millisecond,
	Jitter: 0.3}

// stream serves the watches with one set of metadata. Its mux has the state of the watches. Its
// link opens one gRPC stream after another. stream implements bidi.Handler. The package comment
// lists its states.
type stream struct {
	// read-only after newStream
	owner  *Streams
	key    string
	ctx    context.Context // ends with the Streams; has the values of the first watch's context
	target Target
	link   *bidi.Link[pb.WatchRequest, pb.WatchResponse]
	mux    *watchmux.Mux

	// safe for concurrent use
	hold *time.Timer // resumes watches that the mux has held back; see holdPeriod
	life life

	// used by the link's receive goroutine only
	generation uint64    // Tokens.Generation when the current stream was opened
	refused    bool      // the stream's token was refused: the next stream needs a new token
	refusedAt  time.Time // when createRefused last set refused
	deepest    backlog   // the largest backlog noted since Config.Backlog was called last
}

// backlog is how much a consumer has not taken from its channel yet.
type backlog struct{ responses, bytes int }

// newStream makes the stream for a watch, and for all later watches with the same metadata. ctx is
// the context of the first watch. The stream keeps the values of ctx, but does not end with ctx.
func newStream(ctx context.Context, s *Streams, key string) *stream {
	st := &stream{owner: s, key: key, target: s.cfg.NewTarget()}
	var release context.CancelFunc
	st.ctx, release = await.Join(context.WithoutCancel(ctx), s.ctx)
	st.link = bidi.New(st.ctx, st.dial, bidi.Options{
		Backoff: StreamBackoff,
		Linger:  linger,
		Done: func() {
			release()
			if st.life.timer != nil {
				st.life.timer.Stop()
			}
			st.hold.Stop()
			s.forget(st)
		},
	})
	st.mux = watchmux.New(st.link, watchmux.Config{
		Window: window, MinBatch: minBatch, Refused: st.createRefused,
		Fragments: s.cfg.MaxReceived >= minFragment, Limited: s.cfg.Limited,
		Servers: &s.servers,
		TryingOptions: func(id int64) {
			// If the stream has ended by then, Overdue does nothing.
			time.AfterFunc(createOverdue, func() { st.mux.Overdue(id) })
		},
		Holding: func() { st.hold.Reset(holdPeriod) },
	})
	st.hold = time.AfterFunc(math.MaxInt64, st.mux.Release)
	st.hold.Stop() // the timer must not run before Holding starts it
	return st
}

// dial opens a gRPC stream. If the token of the last stream was refused, dial first gets a new
// token:
//   - The new token is not available yet: dial returns an error.
//   - The new token is denied for good: dial uses the old token, and the server says what is wrong.
func (st *stream) dial(
	ctx context.Context,
) (bidi.Stream[pb.WatchRequest, pb.WatchResponse], error) {
	if tokens := st.owner.cfg.Tokens; tokens != nil {
		if st.refused {
			err := tokens.Renew(ctx, st.generation)
			if err != nil && !classify.IsHalt(ctx, err) {
				return nil, err
			}
			st.refused = false
		}
		st.generation = tokens.Generation()
	}
	stream, err := st.owner.cfg.Open(st.target.With(ctx))
	if err != nil {
		return nil, err
	}
	st.life.current.Store(&stream)
	return stream, nil
}

// Opened implements bidi.Handler.
func (st *stream) Opened(fill func(...*pb.WatchRequest)) {
	st.life.opened()
	st.mux.Opened(fill)
}

// Received implements bidi.Handler.
func (st *stream) Received(resp *pb.WatchResponse) {
	st.life.received()
	st.mux.Received(resp)
	if b := st.deepest; b.responses > 0 {
		st.deepest = backlog{}
		st.owner.cfg.Backlog(b.responses, b.bytes)
	}
}

// Broken implements bidi.Handler.
func (st *stream) Broken(err error) (redial bool, wait time.Duration) {
	if end := st.owner.err(); end != nil || st.ctx.Err() != nil {
		st.mux.Halt(cmp.Or(end, context.Canceled))
		return false, 0
	}
	if classify.IsAuthRefresh(err) && st.owner.cfg.Tokens != nil {
		st.refused = true
	}
	if st.life.timer != nil {
		st.owner.cfg.Progress.broken(st.address(), time.Now())
	}
	redial, wait = st.mux.Broken(err)
	if redial {
		st.target.AvoidLast()
		st.owner.cfg.Broken(err)
	}
	return redial, wait
}

// createRefused reports whether to send a refused create again on a new stream with a new token.
// The server explains the refusal in reason.
//
// If createRefused returns false, the mux sends the create again on the current stream. If that
// second create is refused, the mux does not call createRefused.
func (st *stream) createRefused(reason string) (reconnect bool) {
	tokens := st.owner.cfg.Tokens
	if tokens == nil || st.refused {
		return st.refused
	}
	now := time.Now()
	if tokens.Generation() == st.generation &&
		!classify.IsAuthRefresh(classify.CancelReason(reason)) &&
		now.Sub(st.refusedAt) < refusalPeriod {
		return false
	}
	st.refused, st.refusedAt = true, now
	return true
}
