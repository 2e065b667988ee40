package memberhealth

import "time"

// Force sets the member's health, and the number of requests that may be outstanding in that
// health. It is for tests of package balancer; in programs only [Decide] changes the health.
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

// Answered returns the number of requests that the member has answered. It is for tests of package
// balancer.
func (m *Member) Answered() uint64 { return m.answered.Load() }
