package keepalive

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Stream is one LeaseKeepAlive stream.
type Stream = bidi.Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// Config has the settings of a keeper and the functions that the keeper calls. Dial may block; the
// other functions must not block.
type Config struct {
	// Dial opens a stream that lives until ctx ends. last is the error with which the last stream
	// ended or the last dial failed. It is nil for the first stream.
	Dial func(ctx context.Context, last error) (Stream, error)
	// Link has the options of the bidi link that opens the streams, such as the wait between
	// streams.
	Link bidi.Options
	// FirstTimeout is how long a lease may go without its first answer. After that its subscribers
	// are closed with Expired.
	FirstTimeout time.Duration
	// Expired and Gone are reasons that are passed to the subscribers of a lease:
	//   - Expired: no answer has come for the whole TTL, or no first answer for FirstTimeout
	//   - Gone: the server does not know the lease
	Expired, Gone error
	// Reason returns the reason to pass to subscribers that are closed because a stream ended with
	// the given error.
	Reason func(error) error
	// Halted returns the error for a keeper that has stopped for good because of cause. All
	// subscribers are closed with this error, and Keeper.KeepAlive returns it from then on.
	Halted func(cause error) error
	// Confirm, if set, asks other members for the TTLs of leases that the stream's member did not
	// know. It is called only for leases that were never renewed. It must pass each result to
	// Keeper.Confirmed. If Confirm is nil, these leases count as gone.
	Confirm func(ids []int64)
	// Ended, if set, is called when a stream has ended or could not be opened. err is the error of
	// the stream or dial, and reopen says whether another stream follows. Ended is called without
	// any lock. It is not called once the keeper's context has ended or Close has returned.
	Ended func(err error, reopen bool)
	// Dropped, if set, is called with the number of answers for which the sinks had no room. It is
	// called at most once in each dropInterval, and never after Close has returned.
	Dropped func(n int)
}

// ErrStalled is the error of a stream that the keeper has given up because the server left a
// request unanswered for too long. The keeper passes it to the next [Config.Dial].
var ErrStalled = errors.New("lease keepalive stream: no answer in time")

// ErrUnknownThere is the error of a stream that the keeper has given up because the stream's member
// did not know a lease that another member knows.
var ErrUnknownThere = errors.New(
	"lease keepalive stream: the member does not know a lease that lives")

const (
	// lateTick is how late the timer may fire. If it fires later, the keeper concludes that the
	// process was paused.
	lateTick = 500 * time.Millisecond
	// catchUp is the time after a pause of the process in which the keeper reads the answers that
	// arrived during the pause. In this time it neither renews nor drops leases.
	catchUp = 100 * time.Millisecond
	// dropInterval is the shortest time between two calls of Config.Dropped. It limits the log
	// entries that Dropped writes.
	dropInterval = 10 * time.Second
)

// Keeper keeps leases alive until it is closed, its context ends, or no stream can be opened again.
// All methods are safe for concurrent use.
type Keeper struct {
	// Read-only after New.
	cfg   Config
	ctx   context.Context // no stream is opened after ctx ends
	start time.Time       // the time of instant 0

	// ticks counts the calls of the method tick that run or are due by the timer. Close waits for
	// them. ticks.Add is called only with mu held and while halted is nil. ticks.Done and
	// ticks.Wait need no mutex.
	ticks sync.WaitGroup

	// Guarded by mu.
	mu    sync.Mutex
	table *table
	link  *link       // nil until the first lease
	timer *time.Timer // calls tick when it fires
	armed instant     // when the timer fires; never: the timer is not set
	// resumeAt: after a pause of the process, no lease is renewed or dropped before this instant.
	resumeAt   instant
	last       error   // the error of the last stream or dial
	opened     bool    // the last dial opened a stream
	halted     error   // why the keeper has stopped for good; nil: it has not
	reportAt   instant // the earliest instant for the next call of cfg.Dropped
	unreported int     // answers that a sink had no room for, since the last report
}

type link = bidi.Link[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// New returns a keeper whose streams end with ctx. It opens no stream and starts no goroutine.
func New(ctx context.Context, cfg Config) *Keeper {
	k := &Keeper{
		cfg:   cfg,
		ctx:   ctx,
		start: time.Now(),
		table: newTable(cfg.FirstTimeout, cfg.Expired, cfg.Gone),
		armed: never,
	}
	k.table.start = k.start
	k.table.confirms = cfg.Confirm != nil
	k.timer = time.AfterFunc(math.MaxInt64, k.tick)
	k.timer.Stop() // AfterFunc has set the timer, but only armLocked may set it
	return k
}

func (k *Keeper) now() instant { return time.Since(k.start) }

// KeepAlive begins to keep the lease id alive, and returns at once. The keeper delivers the answers
// for the lease to sink. It closes sink with the reason when the lease, ctx or the keeper ends. If
// requireLeader is set, it also closes sink when the stream's member has no leader.
//
// After the call, only the keeper may use s. If the keeper has stopped, KeepAlive returns the
// keeper's error and does not call sink.
func (k *Keeper) KeepAlive(
	ctx context.Context, id int64, s *Subscriber, sink Sink, requireLeader bool,
) error {
	s.sink, s.requireLeader = sink, requireLeader
	k.mu.Lock()
	if k.halted == nil && k.ctx.Err() != nil {
		k.haltLocked(k.ctx.Err())
	}
	if err := k.halted; err != nil {
		k.unlock()
		return err
	}
	if k.link == nil {
		opts := k.cfg.Link
		opts.Idle = k.idle
		k.link = bidi.New(k.ctx, k.dial, opts)
		k.link.Start(k)
	}
	k.table.add(k.now(), id, s)
	k.link.Wake()
	k.runLocked()
	k.unlock()

	if ctx.Done() != nil {
		k.watch(ctx, s)
	}
	return nil
}

// watch registers a function that closes s when ctx ends.
func (k *Keeper) watch(ctx context.Context, s *Subscriber) {
	stop := context.AfterFunc(ctx, func() {
		reason := ctx.Err()
		k.mu.Lock()
		k.table.leave(s, reason)
		k.unlock()
	})
	k.mu.Lock()
	closed := s.entry == nil
	if !closed {
		s.stop = stop
	}
	k.mu.Unlock()
	if closed {
		stop()
	}
}

// Remove closes the subscribers of a lease that the caller knows to be gone.
func (k *Keeper) Remove(id int64, reason error) {
	k.mu.Lock()
	k.table.remove(id, reason)
	k.unlock()
}

// Close closes all subscribers and ends the link. It waits for the goroutines of the link and of
// the timer. It may be called more than once.
func (k *Keeper) Close(cause error) {
	k.mu.Lock()
	if k.halted == nil {
		k.haltLocked(cause)
	}
	link := k.link
	k.unlock()
	if link != nil {
		link.Close()
	}
	k.ticks.Wait()
}

// dial opens the next stream for the link. It passes to Config.Dial why the last stream ended or
// the last dial failed.
func (k *Keeper) dial(ctx context.Context) (Stream, error) {
	k.mu.Lock()
	last := k.last
	k.opened = false
	k.mu.Unlock()
	return k.cfg.Dial(ctx, last)
}

// idle reports whether no lease is kept. If so, the link opens no stream: a stream without leases
// would do nothing, and if the server refused it, the link would try again and again.
func (k *Keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.table.byID) == 0
}

// Opened implements bidi.Handler. It fills the new stream's queue with requests for all leases that
// are due.
func (k *Keeper) Opened(fill func(...*pb.LeaseKeepAliveRequest)) {
	k.mu.Lock()
	defer k.unlock()
	k.opened = true
	if k.halted == nil {
		fill(requests(k.table.opened(k.now()))...)
	}
}

// Received implements bidi.Handler. It handles one answer.
func (k *Keeper) Received(resp *pb.LeaseKeepAliveResponse) {
	k.mu.Lock()
	now := k.now()
	k.notePauseLocked(now)
	k.table.received(now, resp)
	questions := k.table.questions
	k.table.questions = nil
	dropped := k.droppedLocked()
	k.unlock()
	if dropped > 0 {
		k.cfg.Dropped(dropped)
	}
	if len(questions) > 0 {
		k.cfg.Confirm(questions)
	}
}

// Confirmed handles another member's answer about a lease that [Config.Confirm] asked about. If
// gone is false, left is a lower bound of the time until the lease expires, or 0 if no member has
// answered. If the stream's member has said for the second time that an existing lease is gone,
// Confirmed moves the stream to another member.
func (k *Keeper) Confirmed(id int64, gone bool, left time.Duration) {
	k.mu.Lock()
	defer k.unlock()
	if k.table.confirmed(k.now(), id, gone, left) {
		k.link.Reconnect(ErrUnknownThere)
	}
}

// Broken implements bidi.Handler. It returns true if the link should open another stream. The wait
// that it returns is 0, because the link has a backoff of its own.
//
// If the member has no leader, Broken closes the subscribers that require one. If the server has
// refused one lease ("permission denied"), Broken closes the subscribers of that lease. No other
// status of a server closes subscribers, because a proxy may send any status for a moment, and
// leases live until their TTLs have passed.
func (k *Keeper) Broken(err error) (redial bool, wait time.Duration) {
	redial = k.broken(err)
	if k.cfg.Ended != nil && k.ctx.Err() == nil {
		k.cfg.Ended(err, redial)
	}
	return redial, 0
}

func (k *Keeper) broken(err error) (redial bool) {
	k.mu.Lock()
	defer k.unlock()
	k.last = err
	switch {
	case k.halted != nil:
		return false
	case k.ctx.Err() != nil:
		k.haltLocked(k.ctx.Err())
		return false
	case classify.IsFinal(k.ctx, err, k.opened):
		k.haltLocked(k.cfg.Reason(err))
		return false
	case classify.IsNoLeader(err):
		k.table.leaderLost(k.cfg.Reason(err))
	case errors.Is(rpctypes.Error(err), rpctypes.ErrPermissionDenied):
		k.table.removeOldest(k.cfg.Reason(err))
	}
	k.table.interrupt(k.now())
	return true
}

// tick is called when the timer fires. It renews the leases that are due, and drops the leases that
// have expired.
func (k *Keeper) tick() {
	defer k.ticks.Done()
	k.mu.Lock()
	defer k.unlock()
	k.runLocked()
	k.armed = never
}

// runLocked renews the leases that are due, and drops the leases that have expired. After a pause
// of the process it does nothing until resumeAt. It hands the requests to the link with the lock
// held. If it released the lock first, the stream could end in between, and the requests would go
// to the next stream.
func (k *Keeper) runLocked() {
	if k.halted != nil {
		return
	}
	now := k.now()
	k.notePauseLocked(now)
	if now < k.resumeAt {
		return
	}
	renew, move := k.table.run(now)
	switch {
	case move:
		k.link.Reconnect(ErrStalled)
	case len(renew) > 0:
		k.link.Send(requests(renew)...)
	}
}

// notePauseLocked notes that the process was paused, if the timer should have fired more than
// lateTick ago.
func (k *Keeper) notePauseLocked(now instant) {
	if k.armed != never && now-k.armed > lateTick {
		k.resumeAt = after(now, catchUp)
		k.table.resumed = now
	}
}

// haltLocked stops the keeper for good and closes all subscribers.
func (k *Keeper) haltLocked(cause error) {
	k.halted = k.cfg.Halted(cause)
	k.table.clear(k.halted)
	if k.timer.Stop() {
		k.ticks.Done()
	}
}

// unlock releases the lock. Before that, it sets the timer earlier if an entry needs attention
// before the timer would fire. After that, it stops the context.AfterFuncs of closed subscribers,
// which must not be stopped under the lock.
func (k *Keeper) unlock() {
	if next := max(k.table.next(), k.resumeAt); next < k.armed {
		k.armLocked(next)
	}
	stops := k.table.stops
	k.table.stops = nil
	k.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// armLocked sets the timer to the instant next. Before the call, the timer is not set, or is set to
// a later instant. Nothing postpones the timer, so it may fire when no entry needs attention. The
// method tick then only sets it again.
func (k *Keeper) armLocked(next instant) {
	k.armed = next
	if !k.timer.Stop() {
		k.ticks.Add(1)
	}
	k.timer.Reset(next - k.now())
}

// droppedLocked returns how many answers were dropped since the last call of Config.Dropped,
// because a sink had no room for them. It returns 0 if it is too early for another call of Dropped.
func (k *Keeper) droppedLocked() int {
	k.unreported += k.table.drops
	k.table.drops = 0
	if k.unreported == 0 || k.cfg.Dropped == nil || k.now() < k.reportAt {
		return 0
	}
	n := k.unreported
	k.unreported, k.reportAt = 0, after(k.now(), dropInterval)
	return n
}

// requests returns a request for each lease.
func requests(ids []int64) []*pb.LeaseKeepAliveRequest {
	all := make([]pb.LeaseKeepAliveRequest, len(ids))
	reqs := make([]*pb.LeaseKeepAliveRequest, len(ids))
	for i, id := range ids {
		all[i].ID = id
		reqs[i] = &all[i]
	}
	return reqs
}
