package memberhealth

import (
	"slices"
	"time"
)

// These say when a member is stuck; see the package's documentation. A member that works on large
// answers or long requests answers the read of one key. During an election no member answers: the
// time before the peer last left its requests unanswered for quickPeer does not count.
const (
	stuckAfter  = time.Second // without an answer …
	stuckFactor = 8           // or so many times the typical latency
	stuckLoad   = 4
	stuckBytes  = 16 << 10
	quickPeer   = stuckAfter / 5
	stuckRead   = stuckAfter / 2 // what the read of one key may take, at least
)

// observeUnanswered updates since when the member has had requests and has answered none.
func (r *record) observeUnanswered(s sample, now time.Time) {
	switch {
	case s.outstanding == 0 || s.answered != r.last.answered:
		r.unansweredSince = time.Time{}
		if !r.reading {
			r.readAt = time.Time{}
		}
	case r.unansweredSince.IsZero():
		r.unansweredSince, r.receivedBefore = now, s.received
	case now.Sub(r.unansweredSince) >= quickPeer:
		r.lastUnanswered = now
	}
}

// isStuck reports whether a member answers neither requests nor the read of one key.
func isStuck(members []*Member, m *Member, now time.Time, typical time.Duration) bool {
	readAt, timeout := m.rec.readAt, max(stuckRead, stallTimeoutFactor*typical)
	return !readAt.IsZero() && now.Sub(readAt) >= timeout &&
		seemsStuck(members, m, now, typical, stuckAfter)
}

// startRead reports whether to send the member a read of one key, to find out whether it is stuck.
func startRead(members []*Member, m *Member, now time.Time, typical time.Duration) bool {
	r := &m.rec
	if r.reading || !r.readAt.IsZero() || !seemsStuck(members, m, now, typical,
		stuckAfter-stuckRead) {
		return false
	}
	r.reading, r.readAt = true, now
	return true
}

// seemsStuck reports whether the member has answered nothing for the given time, while a peer has
// answered. It is false if only writes are pending: closing the connection would fail them and
// could not move them.
func seemsStuck(members []*Member, m *Member, now time.Time, typical, after time.Duration) bool {
	r, least := &m.rec, int64(stuckLoad)
	if r.stuck {
		least = 1
	}
	if r.onlyWrites || r.unansweredSince.IsZero() || r.last.outstanding < least ||
		r.last.received-r.receivedBefore >= stuckBytes {
		return false
	}
	return slices.ContainsFunc(members, func(p *Member) bool {
		since := r.unansweredSince
		if p.rec.lastUnanswered.After(since) {
			since = p.rec.lastUnanswered
		}
		l, d := p.rec.latency(), now.Sub(since)
		return p != m && p.rec.health == Healthy && 0 < l && l <= quickPeer &&
			d >= max(after, stuckFactor*typical) &&
			p.rec.movableRate*d.Seconds() >= float64(r.last.movable)
	})
}

// AnswerRead notes how the read of one key ended. An answer shows that the member is not stuck. A
// refusal does not show whether it is, and startRead asks for no other read, which would be refused
// too. A read that was given up does not show it either; startRead may ask for another one.
func (m *Member) AnswerRead(answered, refused bool, now time.Time) {
	r := &m.rec
	r.reading = false
	if answered && !r.unansweredSince.IsZero() {
		r.unansweredSince, r.receivedBefore = now, r.last.received
	}
	if answered || !refused {
		r.readAt = time.Time{}
	}
}
