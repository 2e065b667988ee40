package clientv3

import (
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

const (
	// watchProbePeriod is how long a watch stream is idle before its server is asked for progress,
	// which shows that the member is alive and moves the revisions to resume from. With
	// watchPatience it keeps a stall below four seconds, with time to spare for the new stream.
	watchProbePeriod = 3000 * time.Millisecond
	// watchSettle is that time until the first answer, and until it is known in
	// which order the server answers.
	watchSettle = time.Second
	// watchPatience is how long an answer may take, watchMaxPatience how long it may
	// take on a stream whose last answer was slow.
	watchPatience    = 600 * time.Millisecond
	watchMaxPatience = 10 * time.Second
	// watchBusyPeriod is how often a stream with events is asked for the sake of
	// those of its watches that have none and would resume from long ago.
	watchBusyPeriod = 10 * time.Second
	// watchCreatePatience is how long a stream may leave its first create unanswered
	// where no tracker of members can find out why.
	watchCreatePatience = 3 * time.Second
	// watchTickLate is how late a tick may be before it is taken for one of a process
	// that did not run: the answer may be there and not have been read.
	watchTickLate = 300 * time.Millisecond
	// watchNeverAnswers is after how long a first request without an answer is taken
	// for one that the server does not know.
	watchNeverAnswers = 3 * time.Second
)

// progressServers is what a client knows of its servers and requests for progress.
// etcd's gRPC proxy logs an error for each of them, and releases before 3.4.19 and
// 3.5.0 panic: a server that has not answered the first is not asked again.
type progressServers struct {
	mu   sync.Mutex
	seen map[string]progressServer // by address
}

type progressServer struct {
	answers bool
	asked   time.Time // for the first time
}

func newProgressServers() *progressServers {
	return &progressServers{seen: map[string]progressServer{}}
}

// look reports whether the server answers, and whether it may be asked.
func (s *progressServers) look(address string) (answers, mayAsk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.seen[address]
	return p.answers, p.answers || !ok
}

// asks notes that a server is asked.
func (s *progressServers) asks(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[address]; !ok {
		s.seen[address] = progressServer{asked: now}
	}
}

// answered notes that a server has answered.
func (s *progressServers) answered(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[address] = progressServer{answers: true}
}

// broken forgets the first request to a server whose stream ended before it can have
// been left unanswered.
func (s *progressServers) broken(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.seen[address]; ok && !p.answers && now.Sub(p.asked) < watchNeverAnswers {
		delete(s.seen, address)
	}
}

// watchSight is what a tick sees of its stream. Times are counted from one origin.
type watchSight struct {
	watchmux.Liveness
	now     time.Duration
	heard   time.Duration // when something was received last, or the stream was opened
	waiting bool          // nothing has come since the last probe
	took    time.Duration // how long the answer to the last probe took
	answers bool          // the server is known to answer requests for progress
	mayAsk  bool          // or may be asked
	tracked bool          // the client has a tracker of members
}

// watchStep is what a tick does.
type watchStep struct {
	ask, shadows, quiet bool // probe
	checkMembers        bool
	reopen              bool
	waitOn              bool          // the answer to the last probe is still waited for
	next                time.Duration // until the next tick
}

// watchAlive decides what the ticks of one stream do. It is used by them only.
type watchAlive struct {
	due      time.Duration // of the next tick
	probed   time.Duration // when the last probe was sent
	checked  time.Duration // when the members were last checked
	notFirst bool          // a probe was sent
}

// step decides for one tick.
func (a *watchAlive) step(s watchSight) (w watchStep) {
	late := s.now-a.due > watchTickLate
	switch {
	case s.waiting && late:
		w.next = a.patience(s)
	case s.waiting && s.CatchesUp && s.now-s.heard < watchMaxPatience:
		// a server at work on it sends nothing
		w = watchStep{checkMembers: true, waitOn: true, next: watchSettle}
	case s.waiting:
		w = watchStep{checkMembers: true, reopen: s.answers, next: watchSettle}
	case !s.Active:
		w = a.opening(s)
	default:
		w = a.established(s)
	}
	a.due = s.now + w.next
	return w
}

// patience is how long to wait for an answer.
func (a *watchAlive) patience(s watchSight) time.Duration {
	return min(max(watchPatience, 4*s.took), watchMaxPatience)
}

// opening is a tick of a stream without a confirmed watch. Its member is put to the
// test where creates stay unanswered.
func (a *watchAlive) opening(s watchSight) (w watchStep) {
	w.next = watchSettle
	idle := s.now - s.heard
	if !s.CreateStalled || idle < watchSettle {
		return w
	}
	if !s.tracked {
		w.reopen = idle >= watchCreatePatience
		return w
	}
	if a.checked <= s.heard || s.now-a.checked >= watchCreatePatience {
		w.checkMembers, a.checked = true, s.now
	}
	return w
}

// established is a tick of a stream with confirmed watches, which is alive as far as
// is known.
func (a *watchAlive) established(s watchSight) (w watchStep) {
	idle, period := s.now-s.heard, watchProbePeriod
	if !a.notFirst || s.Untested {
		period = watchSettle
	}
	busy := s.FallsBehind && s.now-max(a.probed, 0) >= watchBusyPeriod
	switch {
	case !s.mayAsk && !s.WaitsForFuture:
		w.next = watchProbePeriod
		return w
	case idle < period && !busy:
		w.next = period - idle
		return w
	}
	w.quiet = idle >= watchSettle
	w.ask = s.answers || s.mayAsk && !s.WaitsForFuture
	w.shadows = true
	w.next = a.patience(s)
	a.probed, a.notFirst = s.now, true
	return w
}
