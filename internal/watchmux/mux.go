package watchmux

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Link is what the mux needs of its bidi link. None of the methods may block or call the mux.
type Link interface {
	Send(...*pb.WatchRequest)
	Queued() int
	Reconnect(reason error)
	Stop()
}

// ErrProtocol is the reason of a reconnect after answers that do not fit the requests sent.
var ErrProtocol = errors.New("watchmux: the server's answers do not match the requests")

// ErrRefused is the reason of a reconnect that Config.Refused asked for.
var ErrRefused = errors.New("watchmux: a watch was refused, trying again with a new stream")

// ErrOverdue is the reason of a reconnect after a create with options was not answered, and one
// without was.
var ErrOverdue = errors.New("watchmux: the server left a watch unanswered")

// Config is read-only after New. The hooks are called with the mux's mutex held: they must not
// block and not call the mux.
type Config struct {
	// Window is the number of creates in flight on a server that takes over the client's ids.
	Window int
	// MinBatch is the number of queued watchers from which on ids of the client are tried.
	MinBatch int
	// Fragments has watches that begin in the past ask for fragments.
	Fragments bool
	// Servers is shared by the muxes of a client; New makes one if it is nil.
	Servers *Servers
	// TryingOptions, if set, is called when the first create with a client's id is sent on a
	// stream. The owner calls Overdue with the id some time later.
	TryingOptions func(id int64)
	// Holding, if set, is called when watchers are held back. The owner calls Release some time
	// later.
	Holding func()
	// Refused, if set, is called for each create that was refused for the first time. It reports
	// whether the second try needs a new stream, because the credentials of this stream may be the
	// reason.
	Refused func(reason string) (reconnect bool)
}

// Mux is the protocol state of one stream. It implements bidi.Handler. All methods are safe for
// concurrent use.
type Mux struct {
	// Read-only after New.
	cfg  Config
	link Link

	// Guarded by mu. Actions are gathered in out, finals and stop, and carried out by unlock.
	mu     sync.Mutex
	closed bool // no watcher is left, or the stream will not be opened again
	seq    uint64
	live   int // watchers that are neither abandoned nor done
	queue  queue
	paused map[*Watcher]struct{}
	serial bool // the next stream's creates go without options
	doubt  bool // the last stream was ended at a create with options
	doubts int  // how often that was so, and the create went through without options
	over   oversize
	out    []*pb.WatchRequest
	finals []final
	stop   bool

	// Of the current stream, guarded by mu.
	open     bool
	inflight []*Watcher // creates sent and not answered, in the order of sending
	refusals []*pb.WatchResponse
	active   map[int64]*Watcher
	ids      ids
	progress progress
}

// noContext makes classify look at the error only: the owner of the link looks at its context.
var noContext context.Context

type final struct {
	sink  Sink
	final Final
}

// New returns a mux without watchers on a link that is not started yet. The first watcher must be
// added before the link is started: the mux stops the link when its last watcher has left.
func New(link Link, cfg Config) *Mux {
	if cfg.Servers == nil {
		cfg.Servers = new(Servers)
	}
	return &Mux{
		cfg:    cfg,
		link:   link,
		paused: make(map[*Watcher]struct{}),
		active: make(map[int64]*Watcher),
		ids:    ids{last: firstID},
	}
}

// Add queues w to watch what template describes. template must not be changed afterwards. If the
// mux has ended, Add returns false and leaves w as it was; the caller needs another mux.
func (m *Mux) Add(w *Watcher, template *pb.WatchCreateRequest, sink Sink) bool {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return false
	}
	m.seq++
	m.live++
	w.template, w.sink, w.seq, w.next = template, sink, m.seq, template.StartRevision
	m.queue.pushBack(w)
	m.advanceLocked()
	return true
}

// Cancel ends w because its consumer wants no more events. It reports whether w was live until
// then; if it was, Done is not called.
func (m *Mux) Cancel(w *Watcher) bool {
	m.mu.Lock()
	defer m.unlock()
	switch w.state {
	case queued:
		m.queue.remove(w)
		w.state = done
	case creating:
		w.state = abandoned
	case active:
		m.cancelLocked(w)
		w.state = done
	case paused:
		delete(m.paused, w)
		w.state = done
	default:
		return false
	}
	w.partial = nil
	m.leaveLocked()
	m.advanceLocked()
	return true
}

// Drained is called when the consumer of w has caught up. If w is paused, it resumes where it
// stopped.
func (m *Mux) Drained(w *Watcher) {
	m.mu.Lock()
	defer m.unlock()
	if w.state != paused || w.heldBack {
		return
	}
	delete(m.paused, w)
	m.queue.pushBack(w)
	m.advanceLocked()
}

// Halt ends all watchers with err, and the mux with them. The caller stops the link.
func (m *Mux) Halt(err error) {
	m.mu.Lock()
	defer m.unlock()
	m.haltLocked(err)
}

// Opened implements bidi.Handler.
func (m *Mux) Opened(fill func(...*pb.WatchRequest)) {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return
	}
	m.open = true
	m.openOptionsLocked()
	m.advanceLocked()
	fill(m.out...)
	m.out = nil
}

// Broken implements bidi.Handler. The watchers of the stream go back into the queue, or end if the
// stream must not be opened again (see classify.IsFinal). They also end if the server has lost its
// leader: servers end a stream for that reason only if its watchers require a leader.
func (m *Mux) Broken(err error) (redial bool, wait time.Duration) {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return false, 0
	}
	if classify.IsFinal(noContext, err, m.open) || classify.IsNoLeader(err) {
		m.haltLocked(err)
		return false, 0
	}
	m.breakOptionsLocked(err)
	causes := m.possibleCausesLocked(err)
	m.requeueLocked()
	m.narrowLocked(causes, err)
	if !errors.Is(err, ErrRefused) {
		// the next stream has other credentials, so a refusal on it is a first one
		for _, w := range m.queue.all() {
			w.retried = false
		}
	}
	return !m.closed, 0
}

// advanceLocked sends the creates that the window allows, and a progress request that a consumer
// waits for once no watcher is queued.
func (m *Mux) advanceLocked() {
	if !m.open || m.closed {
		return
	}
	for m.queue.Len() > 0 && len(m.inflight) < m.windowLocked() && len(m.refusals) == 0 {
		w := m.queue.first()
		id := m.chooseLocked(w)
		m.queue.remove(w)
		w.state = creating
		w.staleNotices = m.progress.outstanding()
		m.inflight = append(m.inflight, w)
		fragment := id != 0 && m.wantsFragmentsLocked(w) || m.over.fragments
		m.sendLocked(w.request(id, fragment))
	}
	if m.queue.Len() == 0 && m.progress.wanted {
		m.requestProgressLocked(true)
	}
}

// cancelLocked takes an active watcher off the stream.
func (m *Mux) cancelLocked(w *Watcher) {
	delete(m.active, w.id)
	m.sendCancelLocked(w.id)
}

func (m *Mux) sendCancelLocked(id int64) {
	m.sendLocked(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
		CancelRequest: &pb.WatchCancelRequest{WatchId: id},
	}})
}

func (m *Mux) sendLocked(r *pb.WatchRequest) {
	m.progress.newest = false
	m.out = append(m.out, r)
}

// endLocked ends a watcher that has been removed from its place.
func (m *Mux) endLocked(w *Watcher, f Final) {
	w.state = done
	w.partial = nil
	m.finals = append(m.finals, final{w.sink, f})
	m.leaveLocked()
}

// leaveLocked counts a watcher out, and stops the link with the last one.
func (m *Mux) leaveLocked() {
	m.live--
	if m.live == 0 {
		m.closed, m.stop = true, true
	}
}

// haltLocked ends all watchers.
func (m *Mux) haltLocked(err error) {
	m.requeueLocked()
	for w := range m.paused {
		m.queue.pushBack(w)
	}
	clear(m.paused)
	for _, w := range m.queue.all() {
		m.queue.remove(w)
		m.endLocked(w, Final{Err: err})
	}
	m.closed = true
}

// unlock carries out what was decided under the mutex. Requests are queued before it is released,
// so that their order is that of the decisions.
func (m *Mux) unlock() {
	if len(m.out) > 0 {
		m.link.Send(m.out...)
		m.out = nil
	}
	if m.stop {
		m.stop = false
		m.link.Stop()
	}
	finals := m.finals
	m.finals = nil
	m.mu.Unlock()
	for _, f := range finals {
		f.sink.Done(f.final)
	}
}
