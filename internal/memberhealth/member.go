package memberhealth

import (
	"math"
	"sync/atomic"
	"time"
)

// Unlimited is the limit of a member that takes any number of requests.
const Unlimited = math.MaxInt64

// Member is the health of one endpoint, over all connections made to it. The methods that
// the pick uses are safe for concurrent use. Those of its record need the owner's lock.
type Member struct {
	name string

	// own synchronisation
	outstanding atomic.Int64
	// outstanding requests that are sent to a peer if the connection is lost
	movable             atomic.Int64
	answered            atomic.Uint64
	refused             atomic.Uint64 // answers that were refusals
	movableAnswered     atomic.Uint64 // served answers to movable requests
	consecutiveRefusals atomic.Int64
	received            atomic.Uint64 // bytes, and answers
	limit               atomic.Int64  // how many requests may be outstanding
	spacing             atomic.Int64  // nanoseconds between two requests while the limit is 1
	nextSlow            atomic.Int64  // when the next of these is due, by clock
	leaderless          atomic.Int64  // until when it has no leader, by clock
	closable            atomic.Bool   // its owner knows its connection, and can close it

	// guarded by the owner's lock
	rec record
}

// New returns a healthy member.
func New(name string) *Member {
	m := &Member{name: name}
	m.limit.Store(Unlimited)
	return m
}

// Outcome says how a request ended.
type Outcome struct {
	Answered   bool // the server answered
	Refused    bool // the answer says that the member does not serve
	Leaderless bool // the answer says that the member has no leader
}

// Begin counts a request. A movable one is sent to a peer if the connection is lost.
func (m *Member) Begin(movable bool) {
	m.outstanding.Add(1)
	if movable {
		m.movable.Add(1)
	}
}

// End counts the end of a request.
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
		m.refuse(o)
	} else if m.consecutiveRefusals.Load() > 0 {
		m.consecutiveRefusals.Store(0)
	}
	m.answered.Add(1)
	m.received.Add(1)
}

func (m *Member) refuse(o Outcome) {
	m.refused.Add(1)
	m.consecutiveRefusals.Add(1)
	if o.Leaderless {
		m.LoseLeader(time.Now())
	}
}

// Receive counts bytes that the connection received: they show that the member is alive.
func (m *Member) Receive(n int) { m.received.Add(uint64(n)) }

// SetClosable notes that the member's connection can be closed.
func (m *Member) SetClosable() { m.closable.Store(true) }

// Outstanding returns how many requests have not ended.
func (m *Member) Outstanding() int64 { return m.outstanding.Load() }

// Limit returns how many requests may be outstanding.
func (m *Member) Limit() int64 { return m.limit.Load() }

// Usable reports whether the member may get requests.
func (m *Member) Usable() bool { return m.limit.Load() > 0 }

// leaderlessFor is how long a member is taken to have no leader after it said so.
const leaderlessFor = 10 * time.Second

// LoseLeader notes that the member said that it has no leader.
func (m *Member) LoseLeader(now time.Time) { m.leaderless.Store(clock(now.Add(leaderlessFor))) }

// Refuses reports whether the member's latest answer was a refusal, or it said in the last
// ten seconds that it has no leader.
func (m *Member) Refuses() bool {
	if m.consecutiveRefusals.Load() > 0 {
		return true
	}
	until := m.leaderless.Load()
	return until != 0 && clock(time.Now()) < until
}

// refusalsToIgnore is after how many consecutive refusals a member is ignored as a load
// baseline.
const refusalsToIgnore = 4

// IsBaseline reports whether the number of the member's outstanding requests shows how busy
// members are. That of a member that refuses everything does not.
func (m *Member) IsBaseline() bool { return m.consecutiveRefusals.Load() < refusalsToIgnore }

// A member is passed over if it has more outstanding requests than busyFactor times those of
// the least busy one, and slack. That must be rare among healthy members, or the quickest
// would get more than its share: with every CPU busy, one member can be three times as quick
// as another for a moment.
const (
	busyFactor = 4
	slack      = 4
)

// Takes reports whether the member should get the next request. The number least is that of
// the least busy healthy peer's outstanding requests.
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
