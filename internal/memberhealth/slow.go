package memberhealth

import (
	"math"
	"slices"
	"time"
)

// A member becomes slow if its latency exceeds slowFactor*quickest + slowMargin in slowAfterTicks
// successive ticks. Here quickest is the lowest latency of all members. A slow member gets requests
// at intervals of slowSpacing times its latency, at most maxSpacing.
const (
	slowFactor     = 5
	slowMargin     = 50 * time.Millisecond
	slowAfterTicks = 10
	slowSpacing    = 8
	maxSpacing     = 2 * time.Second
)

// latency estimates how long the member takes to answer, or returns 0 if that is unknown. By
// Little's law, it is the average number of outstanding requests (the load), divided by the answers
// a second. A load below minLoad counts as minLoad. The result is at most a minute.
func (r *record) latency() time.Duration {
	if r.load < minLoad && r.rate == 0 {
		return 0
	}
	return time.Duration(min(max(r.load, minLoad)/max(r.rate, 0.05), 60) * float64(time.Second))
}

// typicalLatency returns the median latency of all members that have answered. It returns 0 if no
// member has. A member that falls silent keeps the latency of its last answer. So it does not raise
// the median, which would delay the ejection of silent members.
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

// updateSlow makes healthy members slow and slow members healthy. It compares the latency of each
// member with that of the quickest. A slow member becomes healthy below half the limit above which
// a healthy member becomes slow. The gap keeps members from alternating between the states.
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
			// A slow member gets one request at a time, so its load becomes 1. The rate is scaled,
			// so that the latency, which is load divided by rate, stays as it was.
			r.load, r.rate = 1, r.rate/r.load
			r.sentBeforeSlow = uint64(r.last.outstanding)
		case r.health == Slow && r.latency() < limit/2:
			r.health, r.stuck = Healthy, false
		}
	}
}

// startSlow makes a member slow when its new connection starts. It is called if the previous
// connection was closed by an ejection, or if the member was ejected as stuck and has not become
// healthy since.
func (m *Member) startSlow(now time.Time, stuck bool) {
	m.rec.health, m.rec.stuck = Slow, stuck
	m.rec.load, m.rec.rate = 1, 1/maxSpacing.Seconds()
	m.limit.Store(1)
	m.spacing.Store(int64(maxSpacing))
	m.nextSlow.Store(clock(now.Add(maxSpacing)))
}
