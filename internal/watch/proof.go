package watch

import (
	"time"

	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

const (
	// checkPeriod is how long a stream must be idle before the client checks the server. The client
	// sends a request, and waits for the answer for minAnswerTimeout if answers usually come fast.
	// So it gives up a silent server 3.6 s after the last response. With the time to open a new
	// stream, the watches stall for four seconds at most.
	checkPeriod = 3 * time.Second
	// firstPeriod replaces checkPeriod in two cases:
	//   - The stream was not checked yet.
	//   - The client tests whether the server sends progress notices in order with its events.
	//
	// It is also the time to the next tick (the next look at the stream) while the server has
	// confirmed no watch, and after a tick that has probed the members.
	firstPeriod = time.Second
	// minAnswerTimeout and maxAnswerTimeout limit the wait for the answer to a check. A check is a
	// request that a healthy server answers. Within the limits, the wait is four times as long as
	// the last answer took.
	minAnswerTimeout = 600 * time.Millisecond
	maxAnswerTimeout = 10 * time.Second
	// busyPeriod is the time between two checks of a stream that is never idle. Such a stream is
	// known to be alive. But a watch without events would resume from an old revision on a new
	// stream. The answer to a check brings a newer revision to resume from.
	busyPeriod = 10 * time.Second
	// probePeriod is the time between probes of the members while creates (the requests that start
	// watches) are unanswered and nothing is received.
	probePeriod = 3 * time.Second
	// lateTick is how late a tick (a periodic look at the stream) may run. If it runs later, this
	// process was paused, and an answer may wait to be read. So such a tick does not give the
	// stream up.
	lateTick = 300 * time.Millisecond
)

// sight has the facts by which a tick (a periodic look at the stream) decides what to do. Times are
// durations since life.origin. A check is a request, or several, that a healthy server answers.
type sight struct {
	watchmux.Liveness
	now      time.Duration
	received time.Duration // when a response was received last, or the stream was opened
	pending  bool          // the last check is unanswered
	took     time.Duration // how long the answer to the last answered check took
	answers  bool          // the server is known to answer requests for progress
	mayAsk   bool          // a request for progress may be sent to the server
}

// action says what a tick (a periodic look at the stream) must do.
type action struct {
	check        bool          // check the stream: send requests that a healthy server answers
	ask          bool          // send a request for progress as part of the check
	quiet        bool          // tell the mux that nothing was received for a second
	probeMembers bool          // probe the members, because the stream is silent
	waitOn       bool          // go on waiting for the answer to the last check
	reconnect    bool          // give the stream up
	next         time.Duration // the time until the next tick
}

// proof decides what each tick (a periodic look at a stream) does. The ticks find out whether the
// stream's server is alive. The package comment has the rules as a table. Only ticks use proof, and
// they run one at a time.
type proof struct {
	due     time.Duration // when the next tick is due
	checked time.Duration // when the stream was checked last
	probed  time.Duration // when the members were last probed because creates were unanswered
	isFirst bool          // the stream was not checked yet
}

// newProof returns what the first tick of a new stream needs to know. A tick is a periodic check
// whether the stream is alive. The first tick is at the time now.
func newProof(now time.Duration) proof { return proof{due: now, isFirst: true} }

// decide returns what a tick (a periodic look at the stream) must do. The parameter s has the facts
// that the tick has found.
func (p *proof) decide(s sight) (a action) {
	late := s.now-p.due > lateTick
	switch {
	case s.pending && late:
		a.next = answerTimeout(s)
	case s.pending && s.CatchesUp && s.now-s.received < maxAnswerTimeout:
		a = action{probeMembers: true, waitOn: true, next: firstPeriod}
	case s.pending:
		a = action{probeMembers: true, reconnect: s.answers, next: firstPeriod}
	case !s.Active:
		a = p.opening(s)
	default:
		a = p.established(s)
	}
	p.due = s.now + a.next
	return a
}

// answerTimeout returns how long to wait for the answer to a check (a request that a healthy server
// answers). A server that took long to answer the last check gets more time.
func answerTimeout(s sight) time.Duration {
	return min(max(minAnswerTimeout, 4*s.took), maxAnswerTimeout)
}

// opening returns what a tick (a periodic look at the stream) must do on a stream on which the
// server has confirmed no watch yet.
func (p *proof) opening(s sight) (a action) {
	a.next = firstPeriod
	if s.CreateStalled && s.now-s.received >= firstPeriod &&
		(p.probed <= s.received || s.now-p.probed >= probePeriod) {
		a.probeMembers, p.probed = true, s.now
	}
	return a
}

// established returns what a tick (a periodic look at the stream) must do on a stream with
// confirmed watches, if no check (a request that a healthy server answers) is unanswered.
func (p *proof) established(s sight) action {
	idle, period := s.now-s.received, checkPeriod
	if p.isFirst || s.Untested {
		period = firstPeriod
	}
	busy := s.FallsBehind && s.now-p.checked >= busyPeriod
	switch {
	case !s.mayAsk && !s.WaitsForFuture:
		return action{next: checkPeriod}
	case idle < period && !busy:
		return action{next: period - idle}
	}
	p.checked, p.isFirst = s.now, false
	return action{
		check: true,
		ask:   s.answers || s.mayAsk && !s.WaitsForFuture,
		quiet: idle >= firstPeriod,
		next:  answerTimeout(s),
	}
}
