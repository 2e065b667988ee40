package keepalive

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Stream is one LeaseKeepAlive stream.
type Stream = bidi.Stream[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// Config is what a keeper needs. Its functions, except Dial, must not block.
type Config struct {
	// Dial opens a stream that lives until ctx ends. last is what ended the
	// stream before it, nil for the first.
	Dial func(ctx context.Context, last error) (Stream, error)
	// Link says how to wait between streams.
	Link bidi.Options
	// FirstTimeout is how long a lease may go without its first answer.
	FirstTimeout time.Duration
	// Expired and Gone are the reasons given to subscribers whose lease went
	// unanswered for its whole TTL, or is unknown to the server.
	Expired, Gone error
	// Reason makes the reason given to subscribers from the error of a stream.
	Reason func(error) error
	// Halted makes the error of a keeper that has stopped for good.
	Halted func(cause error) error
	// Confirm, if set, asks for the TTL of a lease that the server did not know at its
	// first renewal. Its answer goes to Confirmed.
	Confirm func(ids []int64)
	// Ended, if set, is called when a stream has ended or could not be opened, with the reason and
	// whether another one follows. It is not called if the keeper's context has ended. It is called
	// without any lock, and never after Close has returned.
	Ended func(err error, reopen bool)
	// Dropped, if set, is called with the number of answers that found no room in their sinks, at
	// most once in each dropInterval, and never after Close has returned.
	Dropped func(n int)
}

// ErrStalled ends a stream that has not answered for too long. The next Dial gets it as last.
var ErrStalled = errors.New("lease keepalive stream: no answer in time")

// ErrUnknownThere ends a stream of a member that does not know a lease which, another
// member says, lives.
var ErrUnknownThere = errors.New("lease keepalive stream: the member does not know a lease that lives")

// A timer that fires lateTick after its time shows that the process did not run
// meanwhile. What has come for it is read first, for which it takes catchUp.
const (
	lateTick = 500 * time.Millisecond
	catchUp  = 100 * time.Millisecond
)

// dropInterval keeps a log of dropped answers short.
const dropInterval = 10 * time.Second

// Keeper keeps leases alive until it is closed or halted by the server. All
// methods are safe for concurrent use.
type Keeper struct {
	// Read-only after New.
	cfg   Config
	ctx   context.Context // done: no stream is opened any more
	start time.Time       // when instant 0 was

	// Own synchronisation.
	// one while the timer runs or its tick does; added to only with mu held and halted unset
	ticks sync.WaitGroup

	// Guarded by mu.
	mu         sync.Mutex
	table      *table
	link       *link       // nil until the first lease
	timer      *time.Timer // nil until the first lease
	armed      instant     // when the timer fires; never while it does not run
	resumeAt   instant     // nothing is judged before
	last       error       // what ended the last stream
	opened     bool        // the last dial opened a stream
	halted     error       // why no lease is kept any more; nil while they are
	reportAt   instant     // when dropped answers may be reported again
	unreported int         // dropped answers not reported yet
}

type link = bidi.Link[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]

// New returns a keeper whose streams end with ctx. It starts nothing.
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
	return k
}

func (k *Keeper) now() instant { return time.Since(k.start) }

// KeepAlive delivers the answers for a lease to sink until the lease, ctx or the keeper ends, and
// then closes sink with the reason. It takes s over. It returns an error, and does not call sink,
// if the keeper has stopped.
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

// watch makes s leave when ctx ends.
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

// Remove closes the subscribers of a lease, which the caller knows to be gone.
func (k *Keeper) Remove(id int64, reason error) {
	k.mu.Lock()
	k.table.remove(id, reason)
	k.unlock()
}

// Close closes all subscribers, ends the link and waits for its goroutines and
// for the timer's. It may be called more than once.
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

// dial opens the next stream for the link.
func (k *Keeper) dial(ctx context.Context) (Stream, error) {
	k.mu.Lock()
	last := k.last
	k.opened = false
	k.mu.Unlock()
	return k.cfg.Dial(ctx, last)
}

// idle reports whether no lease is kept: a stream that is refused would be opened again and
// again for nothing.
func (k *Keeper) idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.table.byID) == 0
}

// Opened asks a new stream for all leases that are due.
func (k *Keeper) Opened(fill func(...*pb.LeaseKeepAliveRequest)) {
	k.mu.Lock()
	defer k.unlock()
	k.opened = true
	if k.halted == nil {
		fill(requests(k.table.opened(k.now()))...)
	}
}

// Received takes one answer.
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

// Confirmed takes the answer to a question of Confirm: the lease is gone, or lives for
// left at least, which is 0 if there was no answer. A member that goes on not knowing a
// lease that lives is left for another.
func (k *Keeper) Confirmed(id int64, gone bool, left time.Duration) {
	k.mu.Lock()
	defer k.unlock()
	if k.table.confirmed(k.now(), id, gone, left) {
		k.link.Reconnect(ErrUnknownThere)
	}
}

// Broken decides what the end of a stream means: whether to open another one.
// A member without leader ends the subscribers who require one, and a refusal of
// one lease ends that lease. No other status of a server ends any: a proxy may have
// sent it for a moment, and each lease has its TTL. The link does the waiting.
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

// tick does what is due when the timer fires.
func (k *Keeper) tick() {
	defer k.ticks.Done()
	k.mu.Lock()
	defer k.unlock()
	k.runLocked()
	k.armed = never
}

// runLocked does what is due. Requests are handed over under the lock, so that
// none made for one stream is queued for the next.
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

// notePauseLocked notices that the process was paused: the timer is late.
func (k *Keeper) notePauseLocked(now instant) {
	if k.armed != never && now-k.armed > lateTick {
		k.resumeAt = after(now, catchUp)
		k.table.resumed = now
	}
}

func (k *Keeper) haltLocked(cause error) {
	k.halted = k.cfg.Halted(cause)
	k.table.clear(k.halted)
	if k.timer != nil && k.timer.Stop() {
		k.ticks.Done()
	}
}

// unlock sets the timer for what the caller may have changed, and lets go of
// the contexts of closed subscribers, which must not happen under the lock.
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

// armLocked makes the timer fire at next. One that fires too early does no
// harm, so it is only ever brought forward: its tick sets it anew.
func (k *Keeper) armLocked(next instant) {
	k.armed = next
	if k.timer == nil {
		k.ticks.Add(1)
		k.timer = time.AfterFunc(next-k.now(), k.tick)
		return
	}
	if !k.timer.Stop() {
		k.ticks.Add(1)
	}
	k.timer.Reset(next - k.now())
}

// droppedLocked returns the number of dropped answers to report now.
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

func requests(ids []int64) []*pb.LeaseKeepAliveRequest {
	all := make([]pb.LeaseKeepAliveRequest, len(ids))
	reqs := make([]*pb.LeaseKeepAliveRequest, len(ids))
	for i, id := range ids {
		all[i].ID = id
		reqs[i] = &all[i]
	}
	return reqs
}
