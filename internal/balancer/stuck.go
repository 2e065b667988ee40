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
// A member at work on large answers, or on long requests, must not be taken for one
// that is stuck: it owes at least stuckLoad answers and has sent next to nothing,
// while a peer answered as many requests of the kind quickly; and a read of one key,
// which it is sent by then, it does not answer either. During an election no peer does:
// what counts is the time since the peer itself was last without answers for long.
const (
	stuckAfter  = time.Second // without an answer …
	stuckFactor = 8           // or so many times the usual answering time
	stuckLoad   = 4
	stuckBytes  = 16 << 10
	quickPeer   = stuckAfter / 5
	stuckRead   = stuckAfter / 2 // what the read of one key may take, at least
)

// owe follows since when the member has owed answers and given none.
func (r *record) owe(s sample, now time.Time) {
	switch r.owes = s.outstanding; {
	case s.outstanding == 0 || s.answered != r.answered:
		r.owing = time.Time{}
		if !r.reading {
			r.readFrom = time.Time{}
		}
	case r.owing.IsZero():
		r.owing, r.owingFrom = now, s.heard
	case now.Sub(r.owing) >= quickPeer:
		r.lapsed = now
	}
}

// judgeStuck tells whether to give up the member's connection because it answers
// no requests. Where only writes wait there, they would be failed and could not be
// sent to a peer.
func judgeStuck(members []*Member, m *Member, now time.Time, usual time.Duration) bool {
	r := &m.rec
	if r.readFrom.IsZero() || now.Sub(r.readFrom) < max(stuckRead, patienceFactor*usual) || !seemsStuck(members, m, now, usual, stuckAfter) {
		return false
	}
	r.state, r.stuck = severed, true
	return true
}

// startRead reports whether to send the member a read of one key, to find out
// whether it is stuck.
func startRead(members []*Member, m *Member, now time.Time, usual time.Duration) bool {
	r := &m.rec
	if r.reading || !r.readFrom.IsZero() || !seemsStuck(members, m, now, usual, stuckAfter-stuckRead) {
		return false
	}
	r.reading, r.readFrom = true, now
	return true
}

// seemsStuck tells whether the member has answered nothing for a time, while a peer
// has answered.
func seemsStuck(members []*Member, m *Member, now time.Time, usual, after time.Duration) bool {
	r, least := &m.rec, int64(stuckLoad)
	if r.stuck {
		least = 1
	}
	if r.state == severed || r.stay || r.owing.IsZero() || r.owes < least || r.heard-r.owingFrom >= stuckBytes || !m.severable() {
		return false
	}
	return slices.ContainsFunc(members, func(p *Member) bool {
		since := r.owing
		if p.rec.lapsed.After(since) {
			since = p.rec.lapsed
		}
		l, d := p.rec.latency(), now.Sub(since)
		return p != m && p.rec.state == good && 0 < l && l <= quickPeer &&
			d >= max(after, stuckFactor*usual) && p.rec.readRate*d.Seconds() >= float64(r.owesReads)
	})
}

// answerRead takes in how the read of one key went. An answer shows a member at work.
// A refusal shows nothing; nor does a read that was given up, after which another
// one may be sent.
func (r *record) answerRead(answered, refused bool, now time.Time) {
	r.reading = false
	switch {
	case answered:
		r.readFrom = time.Time{}
		if !r.owing.IsZero() {
			r.owing, r.owingFrom = now, r.heard
		}
	case !refused:
		r.readFrom = time.Time{}
	}
}

// distrust has a member begin its new connection as a slow one, whose requests are
// spaced.
func (m *Member) distrust(now time.Time) {
	m.rec.state, m.rec.stuck = slow, true
	m.rec.load, m.rec.rate = 1, 1/maxSpacing.Seconds()
	m.limit.Store(1)
	m.spacing.Store(int64(maxSpacing))
	m.nextSlow.Store(clock(now.Add(maxSpacing)))
}
