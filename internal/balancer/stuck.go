package balancer

import (
	"slices"
	"time"
)

// A member can be alive, answer health checks, and yet answer no request: as long
// as it defragments its store, or where it has lost the other members and waits for
// them. Its connection is closed as that of a silent member is, which moves the
// reads that wait there. After that it gets one request at a time, spaced, until it
// answers quickly, and each of these is moved in the same way.
//
// A member at work on large answers, or on a few long requests, must not be taken
// for one that is stuck: it owes at least stuckLoad answers and has sent next to
// nothing, while a peer answered as many quickly. During an election no peer does.
const (
	stuckAfter  = time.Second // without an answer …
	stuckFactor = 8           // or so many times the usual answering time
	stuckLoad   = 4
	stuckBytes  = 16 << 10
	quickPeer   = stuckAfter / 5
)

// owe follows since when the member has owed answers and given none.
func (r *record) owe(s sample, now time.Time) {
	switch r.owes = s.outstanding; {
	case s.outstanding == 0 || s.answered != r.answered:
		r.owing = time.Time{}
	case r.owing.IsZero():
		r.owing, r.owingFrom = now, s.heard
	}
}

// judgeStuck tells whether to give up the member's connection because it answers
// no requests.
func judgeStuck(members []*Member, m *Member, now time.Time, usual time.Duration) bool {
	r, least := &m.rec, int64(stuckLoad)
	if r.stuck {
		least = 1
	}
	if r.state == severed || r.owing.IsZero() || r.owes < least || r.heard-r.owingFrom >= stuckBytes || !m.severable() {
		return false
	}
	d := now.Sub(r.owing)
	quick := func(p *Member) bool {
		l := p.rec.latency()
		return p != m && p.rec.state == good && 0 < l && l <= quickPeer && p.rec.rate*d.Seconds() >= float64(r.owes)
	}
	if d < max(stuckAfter, stuckFactor*usual) || !slices.ContainsFunc(members, quick) {
		return false
	}
	r.state, r.stuck = severed, true
	return true
}

// distrust has a member begin its new connection as a slow one, whose requests are
// spaced.
func (m *Member) distrust(now time.Time) {
	m.rec.state, m.rec.stuck = slow, true
	m.rec.load, m.rec.rate = 1, 1/maxSpacing.Seconds()
	m.limit.Store(1)
	m.spacing.Store(int64(maxSpacing))
	m.nextSlow.Store(now.Add(maxSpacing).UnixNano())
}
