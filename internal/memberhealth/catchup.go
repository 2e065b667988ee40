package memberhealth

import "time"

// A member whose connection was closed for its silence may be far behind its peers when it
// is back, for example after it was stopped. It refuses proposals until it has caught up,
// and a refused write has failed. So while it catches up it gets only requests that can
// move, as long as other members take the rest. It has caught up soon after it answered a
// range: a linearizable one waits for nearly that, and a member that got a snapshot refuses
// until it has applied another entry. If the program sends no range, time must do.
const (
	catchUpTime       = maxSpacing + time.Second
	catchUpAfterRange = 500 * time.Millisecond
)

// CatchUp notes that the member has to catch up with its peers.
func (m *Member) CatchUp(now time.Time) { m.catchingUp.Store(clock(now.Add(catchUpTime))) }

// MayCatchUp reports whether the member was catching up when this was last looked at. It
// reads no clock.
func (m *Member) MayCatchUp() bool { return m.catchingUp.Load() != 0 }

// CaughtUp reports whether the member does not have to catch up.
func (m *Member) CaughtUp() bool {
	until := m.catchingUp.Load()
	return until == 0 || clock(time.Now()) >= until && m.catchingUp.CompareAndSwap(until, 0)
}

// AnswerRange notes that the member answered a range: it has caught up soon.
func (m *Member) AnswerRange(now time.Time) {
	until, soon := m.catchingUp.Load(), clock(now.Add(catchUpAfterRange))
	if until > soon {
		m.catchingUp.CompareAndSwap(until, soon)
	}
}
