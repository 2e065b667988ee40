package balancer

import "time"

// A connection on which nothing at all has come for longSilence, while the member
// owed an answer, is asked by a probe; after deadSilence it is closed, whatever the
// other members do. HTTP/2 pings would tell the same, but servers close connections
// for them.
const (
	longSilence = 10 * time.Second
	deadSilence = 15 * time.Second
)

// silentFor is how long the member has owed an answer and said nothing.
func (r *record) silentFor(now time.Time) time.Duration {
	if r.silent.IsZero() {
		return 0
	}
	return now.Sub(r.silent)
}

// judgeDead reports whether to give up the member's connection although no other
// member is there to compare with: it has answered nothing, and not its probe.
func judgeDead(m *Member, now time.Time) bool {
	r := &m.rec
	if r.state == severed || !r.probing || r.silentFor(now) < deadSilence || !m.severable() {
		return false
	}
	r.state = severed
	return true
}
