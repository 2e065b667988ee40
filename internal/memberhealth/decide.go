package memberhealth

import (
	"slices"
	"time"
)

// TickPeriod is how often the owner takes samples and calls Decide, while there are requests.
const TickPeriod = 100 * time.Millisecond

const (
	minProbeTimeout = 700 * time.Millisecond

	// A connection that has received nothing for longSilence while an answer was pending is
	// probed. After deadSilence it is closed, whatever the other members do. HTTP/2 pings
	// would show the same, but servers close connections for them.
	longSilence = 10 * time.Second
	deadSilence = 15 * time.Second
)

// Decisions is what the owner has to do.
type Decisions struct {
	Probe   []*Member // ask for a sign of life, then call AnswerProbe
	Read    []*Member // send a read of one key, then call AnswerRead
	Eject   []*Member // close the connection
	Changed []*Member // report the member's health, which has changed
}

// Decide compares all connected members, after each has observed the present. If probes is
// false, members are neither probed nor ejected.
func Decide(members []*Member, now time.Time, probes bool) (d Decisions) {
	typical := typicalLatency(members)
	for _, m := range members {
		r := &m.rec
		if r.health == Ejected || !r.isSilent(now, typical, len(members)) {
			continue
		}
		r.startSuspicion()
		if !probes {
			continue
		}
		if !r.probing {
			d.Probe = append(d.Probe, m.StartProbe(now))
		}
		if !peerHeard(members, m, r.silentSince) {
			d.Probe = append(d.Probe, probePeers(members, m, now)...)
		}
	}
	for _, m := range members {
		if probes && startRead(members, m, now, typical) {
			d.Read = append(d.Read, m)
		}
		if probes && (ejectSilent(members, m, now, typical) ||
			ejectStuck(members, m, now, typical) || ejectDead(m, now)) {
			d.Eject = append(d.Eject, m)
		}
	}
	updateSlow(members)
	SetLimits(members)
	for _, m := range members {
		if r := &m.rec; r.health != r.reported {
			d.Changed, r.reported = append(d.Changed, m), r.health
		}
	}
	return d
}

// silentFor returns how long the member has had unanswered requests and received nothing.
func (r *record) silentFor(now time.Time) time.Duration {
	if r.silentSince.IsZero() {
		return 0
	}
	return now.Sub(r.silentSince)
}

// isSilent reports whether the member has been silent for its stall timeout, or for
// longSilence if it has no peer.
func (r *record) isSilent(now time.Time, typical time.Duration, members int) bool {
	long := stallTimeoutFactor * typical
	timeout := min(max(minStallTimeout, long, r.stallTimeout), max(maxStallTimeout, long))
	if members < 2 {
		timeout = max(timeout, longSilence)
	}
	return !r.silentSince.IsZero() && r.silentFor(now) >= timeout
}

// StartProbe notes that the member is being probed, and returns it.
func (m *Member) StartProbe(now time.Time) *Member {
	m.rec.probing, m.rec.probedAt = true, now
	return m
}

// probePeers probes the peers of a silent member, none of which was heard: without a sign
// of life from one of them there is nothing to compare the member with.
func probePeers(members []*Member, silent *Member, now time.Time) (probes []*Member) {
	for _, p := range members {
		if p != silent && !p.rec.probing {
			probes = append(probes, p.StartProbe(now))
		}
	}
	return probes
}

// ExpectStream notes that a stream of the member went silent and waits for a probe. It
// reports whether to probe the member; a lone one has no peer to be compared with.
func (m *Member) ExpectStream(now time.Time, alone bool) bool {
	r := &m.rec
	r.streamWaiting = true
	if r.probing || alone {
		return false
	}
	// There are no ticks without requests. What was received by now is no answer to the probe.
	if received := m.received.Load(); received != r.received {
		r.received, r.lastReceived, r.silentSince = received, now, time.Time{}
	}
	m.StartProbe(now)
	return true
}

// peerHeard reports whether any other member received anything after since.
func peerHeard(members []*Member, m *Member, since time.Time) bool {
	return slices.ContainsFunc(members, func(p *Member) bool {
		return p != m && p.rec.lastReceived.After(since)
	})
}

// ejectSilent ejects a member that has received nothing since it was probed, if a peer has.
// If all members are silent the probe goes on. If only writes are pending the member is
// kept: closing the connection would fail them and could not move them.
func ejectSilent(members []*Member, m *Member, now time.Time, typical time.Duration) bool {
	r := &m.rec
	overdue := r.probing && now.Sub(r.probedAt) >= max(minProbeTimeout, stallTimeoutFactor*typical)
	if !overdue || r.health == Ejected || r.onlyWrites && !r.streamWaiting || !m.closable.Load() ||
		r.lastReceived.After(r.probedAt) || !peerHeard(members, m, r.probedAt) {
		return false
	}
	r.health = Ejected
	return true
}

// ejectDead ejects a member that has answered neither requests nor its probe for
// deadSilence, even if there is no other member to compare it with.
func ejectDead(m *Member, now time.Time) bool {
	r := &m.rec
	if r.health == Ejected || !r.probing || r.silentFor(now) < deadSilence || !m.closable.Load() {
		return false
	}
	r.health = Ejected
	return true
}

// AnswerProbe notes that a probe ended, and whether the member answered it. A member that
// is alive gets its share again. Its stall timeout grows until it answers a request.
func (m *Member) AnswerProbe(answered bool, now time.Time) {
	r := &m.rec
	r.probing = false
	if !answered || r.health == Ejected {
		return
	}
	r.lastReceived, r.silentSince, r.streamWaiting = now, time.Time{}, false
	if r.health == Suspect {
		r.endSuspicion()
		r.stallTimeout = min(max(2*r.stallTimeout, 2*minStallTimeout), maxStallTimeout)
	}
}

// SetLimits sets how many requests each member may have outstanding. A suspect gets none
// once a peer was heard. If no member could take requests, all of them may.
func SetLimits(members []*Member) {
	usable := false
	for _, m := range members {
		limit := int64(Unlimited)
		switch r := &m.rec; {
		case r.health == Slow:
			limit = 1
		case r.health == Ejected, r.health == Suspect && peerHeard(members, m, r.silentSince):
			limit = 0
		}
		m.spacing.Store(int64(min(slowSpacing*m.rec.latency(), maxSpacing)))
		m.limit.Store(limit)
		usable = usable || limit > 0
	}
	if usable {
		return
	}
	for _, m := range members {
		m.limit.Store(Unlimited)
	}
}
