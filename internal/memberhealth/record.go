package memberhealth

import "time"

// Health is the state of a member, see the package's documentation.
type Health uint8

// The states of a member.
const (
	Healthy Health = iota
	Slow
	Suspect
	Ejected
)

func (h Health) String() string {
	return [...]string{"healthy", "slow", "suspect", "ejected"}[h]
}

const (
	minStallTimeout    = 200 * time.Millisecond // shortest silence that makes a member suspect
	maxStallTimeout    = 2 * time.Second
	stallTimeoutFactor = 4   // the stall timeout is this many typical latencies
	smoothing          = 0.3 // weight of the newest sample
	minLoad            = 0.01
)

// record holds what is known about a member. At each tick of a timer, package balancer takes a
// sample of the member's counters. A field such as silentSince is the time at which a condition
// began. The field is zero while the condition is false.
type record struct {
	health        Health
	healthBefore  Health    // the member's health before the member became suspect
	reported      Health    // the health that Decisions.Changed has reported last
	last          sample    // the member's counters at the last tick
	lastReceived  time.Time // when the client last received anything from the member
	silentSince   time.Time // since when the client has waited for an answer and received nothing
	stallTimeout  time.Duration
	probing       bool // a probe has been sent and has not ended
	probedAt      time.Time
	streamWaiting bool // ExpectStream was called, and the member has sent nothing since
	onlyWrites    bool // only writes are outstanding

	load           float64       // smoothed number of outstanding requests
	rate           float64       // smoothed number of answers a second, without refusals
	typicalLatency time.Duration // the latency at the member's last answer; 0: unknown
	slowTicks      int           // consecutive ticks with a latency that makes the member slow
	// how many of the outstanding requests were sent before the member became slow; their answers
	// do not count for the fields rate and load
	sentBeforeSlow uint64
	active         bool // requests are outstanding, or were answered since the last tick

	unansweredSince time.Time // since when the member has had requests and answered none
	receivedBefore  uint64    // number of bytes received until unansweredSince
	lastUnanswered  time.Time // the last tick at which the member had answered nothing for 200 ms
	movableRate     float64   // smoothed answers a second to requests that a peer can take over
	reading         bool      // a read of one key was sent to the member and has not ended
	readAt          time.Time // when the last read of one key was sent; zero: another may be sent
	stuck           bool      // the member was ejected as stuck, and has not answered quickly since
}

// sample holds a member's counters at one time.
type sample struct {
	outstanding, movable                         int64
	answered, movableAnswered, refused, received uint64
}

func (m *Member) sample() sample {
	return sample{
		outstanding: m.outstanding.Load(), movable: m.movable.Load(), answered: m.answered.Load(),
		movableAnswered: m.movableAnswered.Load(), refused: m.refused.Load(),
		received: m.received.Load(),
	}
}

// Observe takes a sample of the member. elapsed is the time since the last sample. Observe reports
// whether the member must also be observed at the next tick.
func (m *Member) Observe(now time.Time, elapsed time.Duration) (busy bool) {
	r, s := &m.rec, m.sample()
	busy = s.outstanding > 0 || s.answered != r.last.answered || r.health == Suspect || r.probing ||
		r.streamWaiting
	r.observe(s, now, elapsed)
	return busy
}

// Health returns the member's state.
func (m *Member) Health() Health { return m.rec.health }

// Reset begins the record of a new connection, and forgets what was recorded of earlier
// connections. But the member is slow at first if it was ejected, or if its field stuck is set.
func (m *Member) Reset(now time.Time) {
	stuck, ejected := m.rec.stuck, m.rec.health == Ejected
	m.rec = record{last: m.sample(), reported: m.rec.reported}
	m.limit.Store(Unlimited)
	m.consecutiveRefusals.Store(0)
	if stuck || ejected {
		m.startSlow(now, stuck)
	}
}

// observe updates the record by one sample.
func (r *record) observe(s sample, now time.Time, elapsed time.Duration) {
	r.observeUnanswered(s, now)
	r.active = s.outstanding > 0 || s.answered != r.last.answered
	r.onlyWrites = s.outstanding > 0 && s.movable == 0
	if served := r.observeRates(s, elapsed); served > 0 {
		r.typicalLatency = r.latency()
		if !r.silentSince.IsZero() {
			r.typicalLatency = max(r.typicalLatency, now.Sub(r.silentSince))
		}
	}
	switch {
	case s.received != r.last.received:
		r.lastReceived, r.silentSince, r.streamWaiting = now, time.Time{}, false
		if s.answered != r.last.answered {
			r.stallTimeout = 0
		}
		r.endSuspicion()
	case s.outstanding == 0 && !r.probing && !r.streamWaiting:
		r.silentSince = time.Time{}
		r.endSuspicion() // the client waits for nothing, so silence proves nothing
	case r.silentSince.IsZero():
		r.silentSince = now
	}
	r.last = s
}

// observeRates updates the smoothed load and rates by one sample. It returns how many requests the
// member has served since the last sample, without those that were sent before it became slow.
func (r *record) observeRates(s sample, elapsed time.Duration) (served uint64) {
	answers := s.answered - r.last.answered
	late := min(r.sentBeforeSlow, answers)
	refused := min(s.refused-r.last.refused, answers-late)
	served = answers - late - refused
	r.sentBeforeSlow = min(r.sentBeforeSlow-late, uint64(s.outstanding))
	if elapsed <= 0 || !r.active {
		return served
	}
	waiting := s.outstanding - int64(r.sentBeforeSlow)
	if refused > 0 {
		waiting++ // this raises the load, because a member that only refuses must become slow
	}
	r.load += smoothing * (float64(waiting) - r.load)
	r.rate += smoothing * (float64(served)/elapsed.Seconds() - r.rate)
	movable := float64(s.movableAnswered-r.last.movableAnswered) / elapsed.Seconds()
	r.movableRate += smoothing * (movable - r.movableRate)
	return served
}

// endSuspicion returns a suspect member to the health that it had before: healthy or slow.
func (r *record) endSuspicion() {
	if r.health == Suspect {
		r.health = r.healthBefore
	}
}

// Pause notes that this process did not run for the time d, which ended at now. That time must not
// count as silence of the member, because its answers could not be read. So Pause adds d to all
// times in the record. It sets lastReceived no later than now.
func (m *Member) Pause(d time.Duration, now time.Time) {
	r := &m.rec
	for _, since := range [...]*time.Time{&r.silentSince, &r.unansweredSince, &r.readAt} {
		if !since.IsZero() {
			*since = since.Add(d)
		}
	}
	r.lastUnanswered = r.lastUnanswered.Add(d)
	r.probedAt = r.probedAt.Add(d)
	if r.lastReceived = r.lastReceived.Add(d); r.lastReceived.After(now) {
		r.lastReceived = now
	}
}
