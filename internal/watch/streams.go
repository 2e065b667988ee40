package watch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

// ErrNoStream is the error of [Streams.RequestProgress] if there are watches, but all of them were
// added with other outgoing metadata than that of the context passed to RequestProgress.
var ErrNoStream = errors.New("etcdclient: no watch stream with this context's metadata")

// Stream is one Watch stream. Context is called only after Recv has returned, as gRPC demands.
type Stream interface {
	bidi.Stream[pb.WatchRequest, pb.WatchResponse]
	Context() context.Context
}

// Tokens keeps an authentication token and replaces it.
type Tokens interface {
	// Generation identifies the current token.
	Generation() uint64
	// Renew replaces the current token, provided that its generation equals the parameter seen. If
	// another token is current already, Renew does nothing.
	Renew(ctx context.Context, seen uint64) error
}

// Target chooses the members for the gRPC streams of one link. A link (bidi.Link) opens one gRPC
// stream after another.
type Target interface {
	// With returns a context derived from ctx. A stream that is opened with this context goes to a
	// member that the target chooses. The context ends when the member is removed from the
	// endpoints.
	With(ctx context.Context) context.Context
	// AvoidLast makes the target avoid the member that the latest stream was opened on.
	AvoidLast()
	// Address returns the address of the latest stream's member, or "" if it is unknown.
	Address() string
	// WithoutHealth reports whether the latest stream's member is known to have no health service.
	// Such a member is a gRPC proxy.
	WithoutHealth() bool
}

// Config has the parts of the client that the streams use. It is read-only after New. Its functions
// may be called on any goroutine, and on several at a time.
type Config struct {
	// Open opens a Watch stream that lives until ctx ends.
	Open func(ctx context.Context) (Stream, error)
	// NewTarget returns a new Target, which chooses a member for each gRPC stream of one link.
	NewTarget func() Target
	// Tokens keeps the client's authentication token. It is nil if the client has no token that it
	// can replace.
	Tokens Tokens
	// MaxReceived is the size in bytes of the largest message that can be received. Limited says
	// that the user has set MaxReceived below the default, so the server may send larger messages.
	MaxReceived int
	Limited     bool
	// Progress remembers which servers answer requests for progress. All streams of a client share
	// it. If it is nil, no stream is checked for being alive.
	Progress *ProgressServers
	// ProbeMembers starts a health check of each member. It does not block. It may be nil only if
	// Progress is nil.
	ProbeMembers func()
	// Broken is called before a stream is opened again. The parameter err says why the last stream
	// has ended or could not be opened.
	Broken func(err error)
	// Backlog is called after a response of the server if [Watch.NoteBacklog] has noted a backlog.
	// It gets the largest backlog since the last call: how many responses a consumer has not taken
	// yet, and their size in bytes. It is called without the mux's lock.
	Backlog func(responses, bytes int)
}

// Streams holds the streams of one Watcher. All methods are safe for concurrent use.
type Streams struct {
	// read-only after New
	cfg    Config
	parent context.Context
	ctx    context.Context // ends when parent ends, and when Close is called
	cancel context.CancelFunc

	// Safe for concurrent use. But the method Add of links and ticks is called only while mu is
	// held and closed is false.
	links   sync.WaitGroup // counts the links that have not ended
	ticks   sync.WaitGroup // counts the running ticks (see the type life)
	servers watchmux.Servers

	// guarded by mu
	mu     sync.Mutex
	byKey  map[string]*stream
	closed bool
}

// New returns Streams that end when parent ends. It opens no stream.
func New(parent context.Context, cfg Config) *Streams {
	s := &Streams{cfg: cfg, parent: parent, byKey: make(map[string]*stream)}
	s.ctx, s.cancel = context.WithCancel(parent)
	return s
}

// Watch is one watch on one of the streams. The zero value is ready for [Streams.Add]. A Watch can
// be a field of the sink that is passed to Add.
type Watch struct {
	watchmux.Watcher
	stream *stream // read-only after Add
}

// Add adds w to the stream for the outgoing metadata of ctx. If there is no such stream, Add makes
// one. If the Streams have ended, Add does nothing and returns false. Add does not keep req.
func (s *Streams) Add(
	ctx context.Context, w *Watch, req *pb.WatchCreateRequest, sink watchmux.Sink,
) bool {
	key := streamKey(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ctx.Err() != nil {
		return false
	}
	if st := s.byKey[key]; st != nil {
		w.stream = st
		if st.mux.Add(&w.Watcher, req, sink) {
			return true
		}
	}
	st := newStream(ctx, s, key) // there is no stream for key, or it is ending
	s.byKey[key] = st
	s.links.Add(1)
	w.stream = st
	st.mux.Add(&w.Watcher, req, sink)
	st.startTicks()
	st.link.Start(st)
	return true
}

// Cancel ends the watch because its consumer wants no more events.
func (w *Watch) Cancel() { w.stream.mux.Cancel(&w.Watcher) }

// Drained must be called when the consumer has taken all queued responses. If the watch was paused
// because of its backlog, it resumes.
func (w *Watch) Drained() { w.stream.mux.Drained(&w.Watcher) }

// NoteBacklog notes how many responses the consumer has not taken yet, and their size in bytes.
// After each response of the server, the largest backlog goes to [Config.Backlog]. Only the sink's
// Deliver may call NoteBacklog, because no lock guards the noted values.
func (w *Watch) NoteBacklog(responses, bytes int) {
	if responses > w.stream.deepest.responses {
		w.stream.deepest = backlog{responses, bytes}
	}
}

// RequestProgress asks for a progress notice to all watches added with ctx's outgoing metadata. It
// does not wait for the notice.
//   - If all watches have other metadata, RequestProgress returns [ErrNoStream].
//   - If there is no watch at all, it returns nil.
//   - If the Streams have ended, it returns the error of their context.
func (s *Streams) RequestProgress(ctx context.Context) error {
	key := streamKey(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if st := s.byKey[key]; st != nil && st.mux.RequestProgress() {
		return nil
	}
	for _, st := range s.byKey {
		if st.mux.Live() {
			return ErrNoStream
		}
	}
	return nil
}

// Close ends all streams. It waits for the goroutines of their links, and for running ticks (timer
// calls that check whether a stream's server is alive).
func (s *Streams) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.links.Wait()
	s.ticks.Wait()
}

// err returns the error with which the Streams have ended, or nil. It also checks the parent
// context, because s.ctx may end a moment later. In between, closing the connection may break a
// stream.
func (s *Streams) err() error { return cmp.Or(s.ctx.Err(), s.parent.Err()) }

// forget removes a stream that has ended for good. The next watch with the same metadata then opens
// a new stream.
func (s *Streams) forget(st *stream) {
	s.mu.Lock()
	if s.byKey[st.key] == st {
		delete(s.byKey, st.key)
	}
	s.mu.Unlock()
	s.links.Done()
}

// enterTick is called when a tick (a periodic look at a stream) begins. It counts the tick, so that
// Close waits for it. If the Streams are closed, enterTick returns false, and the tick must do
// nothing.
func (s *Streams) enterTick() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.ticks.Add(1)
	}
	return !s.closed
}

// streamKey returns the outgoing metadata of ctx as one string. Names are sorted, so the order in
// which they were set does not matter. Lengths precede the names and values, so that different
// metadata have different strings.
func streamKey(ctx context.Context) string {
	md, _ := metadata.FromOutgoingContext(ctx)
	if len(md) == 0 {
		return ""
	}
	var b strings.Builder
	part := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	for _, name := range slices.Sorted(maps.Keys(md)) {
		part(name)
		b.WriteString(strconv.Itoa(len(md[name])))
		b.WriteByte('=')
		for _, value := range md[name] {
			part(value)
		}
	}
	return b.String()
}
