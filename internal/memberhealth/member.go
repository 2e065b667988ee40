package memberhealth

import (
	"math"
	"sync/atomic"
	"time"
)

// processStart is the time at which clock returns 0.
var processStart = time.Now()

// clock converts a time of this process to a number that an atomic can hold. The number is
// monotonic. So if the wall clock is set back, a slow member does not wait longer for its next
// request.
func clock(t time.Time) int64 { return int64(t.Sub(processStart)) }

// Unlimited is the limit of a member that takes any number of requests.
const Unlimited = math.MaxInt64

// Member is the health of one endpoint, over all connections made to it. Health, Observe, Pause,
// Reset, ExpectStream, AnswerProbe and AnswerRead are called with the balancer's lock held. The
// other methods are safe for concurrent use.
type Member struct {
	// safe for concurrent use
	outstanding atomic.Int64
	// the number of outstanding requests that can be sent to another member after a lost connection
	movable             atomic.Int64
	answered            atomic.Uint64
	refused             atomic.Uint64 // answers that say that the member does not serve
	movableAnswered     atomic.Uint64 // answers to movable requests, not counting refusals
	consecutiveRefusals atomic.Int64
	received            atomic.Uint64 // bytes plus answers; it grows if the member sends anything
	limit               atomic.Int64  // how many requests may be outstanding
	spacing             atomic.Int64  // nanoseconds between two requests while the limit is 1
	nextSlow            atomic.Int64  // clock() of the next request while the limit is 1
	leaderless          atomic.Int64  // clock() until which the member counts as leaderless
	closable            atomic.Bool   // the balancer is able to close the member's connection

	// guarded by the balancer's lock
	rec record
}

// New returns a healthy member.
func New() *Member {
	m := &Member{}
	m.limit.Store(Unlimited)
	return m
}

// Outcome says how a request ended.
type Outcome struct {
	Answered   bool // the server answered
	Refused    bool // the answer says that the member does not serve
	Leaderless bool // the answer says that the member has no leader
}

// Begin counts a request. The parameter movable says whether the request can be sent to a peer when
// the connection is lost.
func (m *Member) Begin(movable bool) {
	m.outstanding.Add(1)
	if movable {
		m.movable.Add(1)
	}
}

// End counts the end of a request that Begin has counted. The parameter movable must be what was
// passed to Begin.
func (m *Member) End(movable bool, o Outcome) {
	if movable {
		m.movable.Add(-1)
		if o.Answered && !o.Refused {
			m.movableAnswered.Add(1)
		}
	}
	m.outstanding.Add(-1)
	if !o.Answered {
		return
	}
	if o.Refused {
		m.refused.Add(1)
		m.consecutiveRefusals.Add(1)
		if o.Leaderless {
			m.LoseLeader(time.Now())
		}
	} else if m.consecutiveRefusals.Load() > 0 {
		m.consecutiveRefusals.Store(0)
	}
	m.answered.Add(1)
	m.received.Add(1)
}

// Receive counts n bytes that the client received from the member. They show that it is alive.
func (m *Member) Receive(n int) { m.received.Add(uint64(n)) }

// SetClosable notes that the balancer is able to close the member's connection.
func (m *Member) SetClosable() { m.closable.Store(true) }

// Outstanding returns how many requests have not ended.
func (m *Member) Outstanding() int64 { return m.outstanding.Load() }

// Limit returns how many requests may be outstanding.
func (m *Member) Limit() int64 { return m.limit.Load() }

// Usable reports whether the member may get requests.
func (m *Member) Usable() bool { return m.limit.Load() > 0 }

// leaderlessFor is how long a member counts as leaderless after it has answered that it has no
// leader.
const leaderlessFor = 10 * time.Second

// LoseLeader notes that the member has answered, at now, that it has no leader.
func (m *Member) LoseLeader(now time.Time) { m.leaderless.Store(clock(now.Add(leaderlessFor))) }

// Refuses reports whether the member's latest answer was a refusal, or it has answered in the last
// ten seconds that it has no leader.
func (m *Member) Refuses() bool {
	if m.consecutiveRefusals.Load() > 0 {
		return true
	}
	until := m.leaderless.Load()
	return until != 0 && clock(time.Now()) < until
}

// refusalsToIgnore is the smallest number of consecutive refusals for which IsBaseline is false.
const refusalsToIgnore = 4

// IsBaseline reports whether this member's load shows how busy a healthy member is. A member that
// refuses all requests has few outstanding ones. As the baseline, it would make all other members
// look busy.
func (m *Member) IsBaseline() bool { return m.consecutiveRefusals.Load() < refusalsToIgnore }

// A healthy member gets the next request only if it has at most busyFactor*least + slack
// outstanding requests. Here least is the number of the least busy healthy member. A narrow bound
// would give the quickest member too many requests: if every CPU is busy, one member can be three
// times as quick as another for a moment.
const (
	busyFactor = 4
	slack      = 4
)

// Takes reports whether the member should get the next request. Its bound depends on least, the
// number of outstanding requests of the least busy healthy member. A slow member that has taken a
// request takes no other until its spacing (the time between two requests) has passed.
func (m *Member) Takes(least int64) bool {
	limit, outstanding := m.limit.Load(), m.outstanding.Load()
	switch {
	case outstanding >= limit:
		return false
	case limit == Unlimited:
		return outstanding-slack <= busyFactor*least
	}
	now := clock(time.Now())
	due := m.nextSlow.Load()
	return now >= due && m.nextSlow.CompareAndSwap(due, now+m.spacing.Load())
}
