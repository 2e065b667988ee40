package watch

import (
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
)

// errSilent is the reason to give up a stream whose server has not answered the requests that check
// whether it is alive, although it has answered requests for progress before.
var errSilent = errors.New("etcdclient: the watch stream is silent")

// life has what the ticks of a stream need to know. A tick is a call of stream.tick by the timer.
// It may check the server, with a request that a live server answers. Ticks run one at a time.
// Times are nanoseconds since origin.
type life struct {
	// read-only after startTicks
	timer  *time.Timer // nil: the stream is not checked
	origin time.Time

	// safe for concurrent use
	renewed      atomic.Bool            // a stream was opened since the last tick
	current      atomic.Pointer[Stream] // the gRPC stream that was opened last
	lastReceived atomic.Int64           // when a response was received last, or a stream was opened
	checked      atomic.Int64           // when the unanswered check was sent; 0: there is none
	took         atomic.Int64           // how long the answer to the last answered check took

	// proof decides what a tick does. Only ticks use it, so it needs no lock.
	proof proof
}

// startTicks starts the timer of the ticks, which check that the stream's server is alive. If
// [Config.Progress] is nil, startTicks does nothing, and the stream is never checked.
func (st *stream) startTicks() {
	if st.owner.cfg.Progress == nil {
		return
	}
	l := &st.life
	l.origin = time.Now()
	l.renewed.Store(true)
	// No lock guards l.timer: the first tick reads it long after this assignment.
	l.timer = time.AfterFunc(firstPeriod, st.tick)
}

// since returns the time since origin.
func (l *life) since() time.Duration { return time.Since(l.origin) }

// opened is called when a gRPC stream was opened. It forgets the requests that were sent on the
// previous stream to check whether the server is alive.
func (l *life) opened() {
	l.lastReceived.Store(int64(l.since()))
	l.checked.Store(0)
	l.renewed.Store(true)
}

// received notes that a response was received. Any response counts as the answer to the last check
// (the requests with which a tick tests whether the server is alive).
func (l *life) received() {
	if l.timer == nil {
		return
	}
	now := int64(l.since())
	l.lastReceived.Store(now)
	if checked := l.checked.Swap(0); checked != 0 {
		l.took.Store(now - checked)
	}
}

// address returns the address of the server of the latest gRPC stream, or "" if the address is
// unknown.
func (st *stream) address() string {
	if a := st.target.Address(); a != "" {
		return a
	}
	if s := st.life.current.Load(); s != nil {
		if p, ok := peer.FromContext((*s).Context()); ok && p.Addr != nil {
			return p.Addr.String()
		}
	}
	return ""
}

// tick looks at the stream, and checks that the server is alive if a check is due. The timer calls
// it. tick sets the timer again, unless the Streams are closed or the context of st has ended.
func (st *stream) tick() {
	if !st.owner.enterTick() {
		return
	}
	defer st.owner.ticks.Done()
	l := &st.life
	s := st.look()
	if l.renewed.Swap(false) {
		l.proof = newProof(s.now)
	}
	a := l.proof.decide(s)
	st.act(a)
	if st.ctx.Err() == nil {
		l.timer.Reset(a.next)
	}
}

// look returns the facts by which a tick (a periodic look at the stream) decides what to do.
func (st *stream) look() sight {
	l, progress := &st.life, st.owner.cfg.Progress
	s := sight{
		Liveness: st.mux.Liveness(),
		now:      l.since(),
		received: time.Duration(l.lastReceived.Load()),
		pending:  l.checked.Load() != 0,
		took:     time.Duration(l.took.Load()),
	}
	if !s.Active {
		return s
	}
	address := st.address()
	if s.Notices > 0 {
		progress.answered(address)
	}
	s.answers, s.mayAsk = progress.look(address)
	s.mayAsk = s.mayAsk && (s.answers || !st.target.WithoutHealth())
	return s
}

// act does what a tick (a periodic look at the stream) has decided. Before act sends requests that
// check whether the server is alive, it stores the time, because the answer may arrive at once.
func (st *stream) act(a action) {
	l := &st.life
	if a.check {
		if a.ask {
			st.owner.cfg.Progress.requested(st.address(), time.Now())
		}
		l.checked.Store(max(1, int64(l.since())))
		if !st.mux.CheckLiveness(a.ask, a.quiet) {
			l.checked.Store(0)
		}
	}
	if a.probeMembers {
		if !a.waitOn {
			l.checked.Store(0)
		}
		st.owner.cfg.ProbeMembers()
	}
	if a.reconnect {
		st.link.Reconnect(errSilent)
	}
}
