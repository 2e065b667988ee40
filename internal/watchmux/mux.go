package watchmux

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Link is the part of a bidi.Link that the mux uses. The link opens the streams, and sends the
// requests. The methods must not block or call the mux.
type Link interface {
	Send(...*pb.WatchRequest)
	Queued() int
	Reconnect(reason error)
	Stop()
}

// ErrProtocol is the reason of a reconnect after the server has confirmed a watch under an id that
// does not fit the unanswered creates. The mux cannot tell which create was confirmed.
var ErrProtocol = errors.New("watchmux: the server's answers do not match the requests")

// ErrRefused is the reason of a reconnect after a create was refused and Config.Refused has asked
// for a new stream.
var ErrRefused = errors.New("watchmux: a watch was refused, trying again with a new stream")

// ErrOverdue is the reason of a reconnect after the mux has sent one create twice (see
// [Mux.Overdue]). The first had a watch id, and no answer came. The second had no id. The server
// has answered one of the two, and the mux cannot tell which.
var ErrOverdue = errors.New("watchmux: the server left a watch unanswered")

// Config is read-only after New. The functions are called with the mux's mutex held: they must not
// block and not call the mux.
type Config struct {
	// Window is how many creates may be unanswered at a time if the server uses the watch ids that
	// the client chooses. Other servers get one create at a time.
	Window int
	// MinBatch is how many watchers must be queued before the mux tests the server. The test is a
	// create with a watch id that the client chooses: does the server use it? If that create also
	// asks for fragments, the mux does not wait for MinBatch watchers.
	MinBatch int
	// Fragments allows the mux to ask the server for large responses in fragments. At first, it
	// asks only for watches that begin in the past; see Limited. After a message over the client's
	// limit, it asks for all watches.
	Fragments bool
	// Limited says that the server may send messages that are too large for the client. The mux
	// then asks for fragments for every watch that begins in the past. Without Limited, it asks
	// only for those of them that have large events.
	Limited bool
	// Servers remembers whether the servers take the options that a mux adds to creates. All muxes
	// of a client share it. If it is nil, New makes one.
	Servers *Servers
	// TryingOptions, if set, is called when a stream's first create with a watch id is sent. Some
	// time later, the owner of the mux must call [Mux.Overdue] with this id. A server that does not
	// take ids from the client may never answer the create.
	TryingOptions func(id int64)
	// Holding, if set, is called when watchers are paused because of a message over the client's
	// limit. The message may have been for one of them. Some time after each call of Holding, the
	// owner of the mux must call [Mux.Release], which lets these watchers resume.
	Holding func()
	// Refused, if set, is called when the create of a watcher is refused for the first time. It
	// reports whether to try again on a new stream. That helps if the reason was this stream's
	// credentials.
	Refused func(reason string) (reconnect bool)
}

// Mux is the protocol state of the watchers that share one stream. When the stream breaks, the mux
// continues on the next one. Mux implements bidi.Handler. All methods are safe for concurrent use.
type Mux struct {
	// Read-only after New.
	cfg  Config
	link Link

	// Guarded by mu. Methods do not send requests, call a sink's Done or stop the link themselves:
	// they note it in the fields out, finals and stop, and the method unlock does what was noted.
	mu     sync.Mutex
	closed bool // no watcher is left, or the stream will not be opened again
	seq    uint64
	live   int // watchers in any state other than abandoned and done
	queue  queue
	paused map[*Watcher]struct{}
	serial bool // creates on the next stream carry no watch id
	doubt  bool // the server ended the last stream while a create with a watch id was unanswered
	doubts int  // how often a create without a watch id was answered while doubt was set
	over   oversize
	out    []*pb.WatchRequest
	finals []final
	stop   bool

	// Guarded by mu. These fields are about the current stream only.
	open     bool
	inflight []*Watcher // watchers whose creates are unanswered, in the order of sending
	refusals []*pb.WatchResponse
	active   map[int64]*Watcher
	ids      ids
	progress progress
}

// noContext is passed to functions of package classify, so that they judge by the error only. The
// owner of the mux has already checked the contexts.
var noContext context.Context

type final struct {
	sink  Sink
	final Final
}

// New returns a mux without watchers. Its link must not be started before the first watcher is
// added, because the mux stops the link only when its last watcher leaves.
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

// Add queues w to watch what req describes. It does not keep req, and does not use its WatchId.
//
// Add returns false and leaves w as it was if the mux is closed. A mux is closed when its last
// watcher has left, or when it was halted. The caller then needs another mux.
func (m *Mux) Add(w *Watcher, req *pb.WatchCreateRequest, sink Sink) bool {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return false
	}
	m.seq++
	m.live++
	w.spec, w.sink, w.seq, w.next = specOf(req), sink, m.seq, req.StartRevision
	m.queue.pushBack(w)
	m.advanceLocked()
	return true
}

// Cancel ends w because its consumer wants no more events. It returns true if w had not ended
// before; the sink's Done is then never called.
func (m *Mux) Cancel(w *Watcher) bool {
	m.mu.Lock()
	defer m.unlock()
	end := done
	switch w.state {
	case queued:
		m.queue.remove(w)
	case creating:
		end = abandoned
	case active:
		m.cancelLocked(w)
	case paused:
		delete(m.paused, w)
	default:
		return false
	}
	w.state, w.partial = end, nil
	m.leaveLocked()
	m.advanceLocked()
	return true
}

// Drained is called when the consumer of w has read its backlog. If w was paused because of that
// backlog, w is created again, and resumes where it stopped.
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

// Halt ends all watchers with err, and closes the mux: no watcher can be added afterwards. Halt
// does not stop the link; the caller must do that.
func (m *Mux) Halt(err error) {
	m.mu.Lock()
	defer m.unlock()
	m.haltLocked(err)
}

// Opened implements bidi.Handler. It passes the stream's first requests to the function fill.
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

// Broken implements bidi.Handler. It puts the stream's watchers back into the queue, and lets the
// link open another stream. In two cases, it ends all watchers with err instead:
//   - The stream must not be opened again (see classify.IsFinal).
//   - The server has lost its leader. A server ends a stream for this reason only if the stream's
//     watchers require a leader.
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
		// The next stream may have another authentication token. If a create is refused on that
		// stream, it is again tried once more.
		for _, w := range m.queue.all() {
			w.retried = false
		}
	}
	return !m.closed, 0
}

// advanceLocked sends the creates of queued watchers, up to the limit of unanswered creates. It
// sends none while it is unknown which create was refused. When the queue is empty, it sends the
// progress request that a consumer has asked for.
func (m *Mux) advanceLocked() {
	if !m.open || m.closed {
		return
	}
	window := 1
	if m.ids.mode == taken {
		window = m.cfg.Window
	}
	for m.queue.Len() > 0 && len(m.inflight) < window && len(m.refusals) == 0 {
		w := m.queue.first()
		id := m.chooseLocked(w)
		m.queue.remove(w)
		w.state = creating
		w.staleNotices = uint8(min(m.progress.unanswered, maxOutstanding))
		m.inflight = append(m.inflight, w)
		fragment := id != 0 && m.wantsFragmentsLocked(w) || m.over.fragments
		m.sendLocked(w.request(id, fragment))
	}
	if m.queue.Len() == 0 && m.progress.wanted {
		m.requestProgressLocked(true)
	}
}

// cancelLocked cancels an active watcher on the server and removes it from the map of active ids.
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

// endLocked ends w for the reason f. The caller has removed w from the queue, map or set that held
// it.
func (m *Mux) endLocked(w *Watcher, f Final) {
	w.state = done
	w.partial = nil
	m.finals = append(m.finals, final{w.sink, f})
	m.leaveLocked()
}

// leaveLocked notes that a watcher is abandoned or done. If it was the last one, leaveLocked closes
// the mux and stops the link.
func (m *Mux) leaveLocked() {
	m.live--
	if m.live == 0 {
		m.closed, m.stop = true, true
	}
}

// haltLocked ends all watchers with err and closes the mux.
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

// unlock does what was decided under the mutex, and releases the mutex.
//
// Before the release, it hands the requests to the link, and stops the link if necessary. So
// requests are sent in the order in which they were decided. After the release, it calls Done for
// the watchers that have ended.
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
