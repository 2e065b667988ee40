package memberhealth

import (
	"slices"
	"time"
)

// These constants say when a member is stuck: it takes requests, but answers none. A healthy member
// may take long for large answers, but it answers the read of one key quickly.
//
// During an election no member answers. So a member is stuck only if a peer (another member)
// answers while it does not. A peer that was silent itself, for quickPeer or longer, counts only
// for the time after its silence.
const (
	// A stuck member has answered nothing for at least stuckAfter, and for at least stuckFactor
	// times the typical latency.
	stuckAfter  = time.Second
	stuckFactor = 8
	// A stuck member has at least stuckLoad outstanding requests. One is enough if the member was
	// ejected as stuck before.
	stuckLoad = 4
	// A stuck member has sent less than stuckBytes in the time without an answer.
	stuckBytes = 16 << 10
	// The member is compared only with peers whose latency is at most quickPeer.
	quickPeer = stuckAfter / 5
	// A stuck member has left the read of one key unanswered for at least stuckRead.
	stuckRead = stuckAfter / 2
)

// observeUnanswered updates the fields that say how long the member has answered no request:
//   - unansweredSince is the start of that time. It is zero if the member has answered a request
//     since the last tick, or has no requests.
//   - lastUnanswered is the last tick at which that time was quickPeer or longer.
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

// startRead reports whether the balancer must send the member a read of one key, to find out
// whether the member is stuck. If so, startRead notes that the read is in flight.
func startRead(members []*Member, m *Member, now time.Time, typical time.Duration) bool {
	r := &m.rec
	if r.reading || !r.readAt.IsZero() || !seemsStuck(members, m, now, typical,
		stuckAfter-stuckRead) {
		return false
	}
	r.reading, r.readAt = true, now
	return true
}

// seemsStuck reports whether the member has answered nothing while a peer has answered. This must
// have lasted at least for the duration in after.
//
// If only writes are pending, seemsStuck returns false. The connection to a stuck member is closed,
// so these writes would fail, and they could not be sent to another member.
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

// AnswerRead notes how the read of one key has ended. An answer shows that the member is not stuck.
// A refusal, or a read without an answer, shows nothing. After a refusal startRead asks for no
// other read, because the member would refuse that read, too.
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
