package memberhealth

import (
	"slices"
	"time"
)

// TickPeriod is how often package balancer takes samples and calls Decide, while there are
// requests.
const TickPeriod = 100 * time.Millisecond

const (
	minProbeTimeout = 700 * time.Millisecond

	// A connection that is silent for longSilence is probed even if there is no healthy member to
	// compare it with. A connection that is silent for deadSilence is closed, whatever the other
	// members do. HTTP/2 pings would show whether a connection is alive, but servers close
	// connections on which many pings arrive.
	longSilence = 10 * time.Second
	deadSilence = 15 * time.Second
)

// Decisions are the actions that package balancer has to take.
type Decisions struct {
	Probe   []*Member // send a health check, then call AnswerProbe
	Read    []*Member // send a read of one key, then call AnswerRead
	Eject   []*Member // close the connection
	Changed []*Member // report the member's health, which has changed
}

// Decide compares all connected members, updates their states, and returns what the balancer must
// do. Before each call, the balancer must call Observe for each member. If probes is false, no
// member is probed or ejected.
func Decide(members []*Member, now time.Time, probes bool) (d Decisions) {
	typical := typicalLatency(members)
	for _, m := range members {
		r := &m.rec
		if r.health == Ejected || !r.isSilent(now, typical, len(members)) {
			continue
		}
		if r.health != Suspect {
			r.health, r.healthBefore = Suspect, r.health
		}
		if !probes {
			continue
		}
		// A member is judged by comparison. If no peer has sent anything since the member fell
		// silent, the peers are probed, too.
		alone := !peerAlive(members, m, r.silentSince)
		for _, p := range members {
			if (p == m || alone) && !p.rec.probing {
				d.Probe = append(d.Probe, p.startProbe(now))
			}
		}
	}
	for _, m := range members {
		r := &m.rec
		if !probes || r.health == Ejected || !m.closable.Load() {
			continue
		}
		if startRead(members, m, now, typical) {
			d.Read = append(d.Read, m)
		}
		silent := failsProbe(members, m, now, typical)
		stuck := !silent && isStuck(members, m, now, typical)
		if silent || stuck || r.probing && r.silentFor(deadSilence, now) {
			r.health, r.stuck = Ejected, r.stuck || stuck
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

// silentFor reports whether the client has waited for the member for d and received nothing.
func (r *record) silentFor(d time.Duration, now time.Time) bool {
	return !r.silentSince.IsZero() && now.Sub(r.silentSince) >= d
}

// isSilent reports whether the member has been silent for its stall timeout, and also for
// longSilence if it has no peer.
func (r *record) isSilent(now time.Time, typical time.Duration, members int) bool {
	long := stallTimeoutFactor * typical
	timeout := min(max(minStallTimeout, long, r.stallTimeout), max(maxStallTimeout, long))
	if members < 2 {
		timeout = max(timeout, longSilence)
	}
	return r.silentFor(timeout, now)
}

// startProbe notes that the member is being probed, and returns the member.
func (m *Member) startProbe(now time.Time) *Member {
	m.rec.probing, m.rec.probedAt = true, now
	return m
}

// ExpectStream notes that the client waits for this member because of a stream. It reports whether
// the balancer must probe the member. If any stream of the client has received nothing for too
// long, the balancer calls ExpectStream for every connected member.
//
// The result is false if the member is being probed already. It is also false if alone is set: no
// other member is connected, so this one cannot be compared with any.
func (m *Member) ExpectStream(now time.Time, alone bool) bool {
	r := &m.rec
	r.streamWaiting = true
	if r.probing || alone {
		return false
	}
	// While there are no requests, there are no ticks. So the bytes received since the last tick
	// are counted here. They came before the probe, and must not count as the answer to the probe.
	if received := m.received.Load(); received != r.last.received {
		r.last.received, r.lastReceived, r.silentSince = received, now, time.Time{}
	}
	m.startProbe(now)
	return true
}

// peerAlive reports whether a member other than m has sent anything later than the parameter since.
func peerAlive(members []*Member, m *Member, since time.Time) bool {
	return slices.ContainsFunc(members, func(p *Member) bool {
		return p != m && p.rec.lastReceived.After(since)
	})
}

// failsProbe reports whether the member must be ejected because of a probe. All of these must hold:
//   - the probe is unanswered at the end of the probe timeout
//   - since the probe, the member has sent nothing at all, and another member has sent something
//   - the pending requests are not all writes, or a stream of the client went silent, too
//
// Ejecting a member closes its connection. Pending writes then fail, and cannot be sent to another
// member.
func failsProbe(members []*Member, m *Member, now time.Time, typical time.Duration) bool {
	r := &m.rec
	overdue := r.probing && now.Sub(r.probedAt) >= max(minProbeTimeout, stallTimeoutFactor*typical)
	return overdue && (!r.onlyWrites || r.streamWaiting) && !r.lastReceived.After(r.probedAt) &&
		peerAlive(members, m, r.probedAt)
}

// AnswerProbe notes that a probe has ended, and whether the member answered it. A suspect member
// that answers becomes healthy or slow.
//
// AnswerProbe then doubles the stall timeout, up to maxStallTimeout. This is the silence after
// which the member becomes suspect again. The next answer to a request resets it.
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

// SetLimits sets how many requests each member may have outstanding:
//   - an ejected member: 0
//   - a suspect member: 0, if another member has sent something since this one fell silent
//   - a slow member: 1; SetLimits also sets the time between two of its requests
//   - any other member: no limit
//
// If every limit is 0, SetLimits makes all members unlimited.
func SetLimits(members []*Member) {
	usable := false
	for _, m := range members {
		limit := int64(Unlimited)
		switch r := &m.rec; {
		case r.health == Slow:
			limit = 1
		case r.health == Ejected, r.health == Suspect && peerAlive(members, m, r.silentSince):
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
