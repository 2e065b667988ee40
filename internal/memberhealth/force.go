package memberhealth

import "time"

// Force sets the state of a member, and the limit that goes with it. It is for tests of the
// owner; [Decide] changes states in programs.
func (m *Member) Force(health Health, stuck bool) {
	m.rec.health, m.rec.stuck = health, stuck
	switch health {
	case Healthy:
		m.limit.Store(Unlimited)
	case Slow:
		m.limit.Store(1)
		m.spacing.Store(int64(maxSpacing))
		m.nextSlow.Store(clock(time.Now()))
	case Suspect, Ejected:
		m.limit.Store(0)
	}
}

// Answered returns how many requests were answered.
func (m *Member) Answered() uint64 { return m.answered.Load() }
