package memberhealth

import (
	"math"
	"slices"
	"time"
)

const (
	slowFactor     = 5                     // times the quickest peer's latency …
	slowMargin     = 50 * time.Millisecond // … plus this
	slowAfterTicks = 10                    // in a row with a greater latency
	slowSpacing    = 8                     // times its own latency between two requests …
	maxSpacing     = 2 * time.Second       // … at most
)

// latency estimates how long the member takes to answer, by Little's law: its outstanding requests
// over its answers a second. It returns 0 if that is unknown. A member may be so quick that no tick
// finds an outstanding request; its load then counts as minLoad.
func (r *record) latency() time.Duration {
	if r.load < minLoad && r.rate == 0 {
		return 0
	}
	return time.Duration(min(max(r.load, minLoad)/max(r.rate, 0.05), 60) * float64(time.Second))
}

// typicalLatency returns the median latency of the members that have answered, each as it was at
// the member's last answer, or 0 if none has. Silence must not raise it: if most members were
// silent, it would put off the ejection of all of them.
func typicalLatency(members []*Member) time.Duration {
	var known []time.Duration
	for _, m := range members {
		if m.rec.typicalLatency > 0 {
			known = append(known, m.rec.typicalLatency)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[(len(known)-1)/2]
}

// updateSlow makes healthy members slow, and slow ones healthy. The two bounds differ, so that a
// member does not alternate between the states.
func updateSlow(members []*Member) {
	quickest := time.Duration(math.MaxInt64)
	for _, m := range members {
		if l := m.rec.latency(); l > 0 && m.rec.rate > 0 {
			quickest = min(quickest, l)
		}
	}
	if quickest == math.MaxInt64 {
		return
	}
	limit := slowFactor*quickest + slowMargin
	for _, m := range members {
		r := &m.rec
		if r.latency() <= limit || !r.active {
			r.slowTicks = 0
		} else {
			r.slowTicks++
		}
		switch {
		case r.health == Healthy && r.slowTicks >= slowAfterTicks:
			r.health = Slow
			// The latency is that of one request at a time, so that one quick answer changes it.
			r.load, r.rate = 1, r.rate/r.load
			r.sentBeforeSlow = uint64(r.last.outstanding)
		case r.health == Slow && r.latency() < limit/2:
			r.health, r.stuck = Healthy, false
		}
	}
}

// startSlow makes a member that was ejected slow from the start of its new connection.
func (m *Member) startSlow(now time.Time, stuck bool) {
	m.rec.health, m.rec.stuck = Slow, stuck
	m.rec.load, m.rec.rate = 1, 1/maxSpacing.Seconds()
	m.limit.Store(1)
	m.spacing.Store(int64(maxSpacing))
	m.nextSlow.Store(clock(now.Add(maxSpacing)))
}
