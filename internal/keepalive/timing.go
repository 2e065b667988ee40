package keepalive

import "time"

const (
	// renewals is how often a lease is renewed in each TTL.
	renewals = 3
	// jitter is the share by which an interval is made longer or shorter, so that leases created
	// together drift apart.
	jitter = 0.05
	// minStallTimeout is the shortest silence that can be called a stall.
	minStallTimeout = 500 * time.Millisecond
	// assumedTTL is the TTL that a lease is taken to have before its first answer, at most: how
	// soon a stream is left must not depend on how long the user is willing to wait.
	assumedTTL = 5 * time.Second
)

// plan has e looked at when it is to be looked at next, or up to a step earlier: with an instant of
// its own for each entry, the schedule would take more memory than the entries.
func (t *table) plan(e *entry) {
	at := t.attention(e)
	t.schedule.put(e, at-at%minStep)
}

// replan plans all entries anew.
func (t *table) replan() {
	for _, e := range t.byID {
		t.plan(e)
	}
}

// attention is when e has to be looked at next.
func (t *table) attention(e *entry) instant {
	switch {
	case !t.open || e.waiting() && len(e.subs) == 0:
		return e.expiry
	case e.waiting():
		return min(e.expiry, t.stallsAt(e))
	default:
		return min(e.expiry, e.due)
	}
}

// renewAt returns when to renew the lease of an answered request again: about a third of its TTL
// after the request was sent, at the end of a step. If too many leases are due at that instant, it
// returns an earlier one, but none before a sixth of that time.
func (t *table) renewAt(now instant, e *entry) instant {
	third, step := e.ttl/renewals, step(e.ttl)
	margin := time.Duration(jitter * float64(third))
	first := (after(e.sentAt, third-margin) + step - 1) / step
	last := after(e.sentAt, third+margin) / step
	picked := (first + time.Duration(t.random()*float64(last-first+1))) * step
	limit := max(minShare, int(maxShare*float64(len(t.byID))))
	for at := picked; at > max(now, e.sentAt+third/6); at -= step {
		if b := t.schedule.byInstant[at]; b == nil || len(b.entries) < limit {
			return at
		}
	}
	return max(now, picked)
}

// stallsAt returns when the stream is left for the sake of e if nothing comes on it before. After a
// pause of the process there is time to read the answers that came meanwhile. It is short, because
// pauses may follow each other and must not use up the TTL.
func (t *table) stallsAt(e *entry) instant {
	return max(after(max(e.sentAt, t.lastReceived), t.stallTimeout(e)),
		after(t.resumed, minStallTimeout))
}

// stallTimeout is the silence after which the stream of e is left. If answers usually take long, it
// is longer: a server that is slow but alive would otherwise be left again and again just before it
// answers, for one that takes as long.
func (t *table) stallTimeout(e *entry) time.Duration {
	return max(e.ttl/renewals, minStallTimeout, 2*t.typicalLatency)
}

// learn updates typicalLatency. A pause of the process does not count as latency: a long one is
// noticed, and after a short one the answer counts for no more than the stall timeout of e.
func (t *table) learn(now instant, e *entry) {
	if e.sentAt < t.resumed {
		return
	}
	took := min(now-e.sentAt, t.stallTimeout(e))
	if t.typicalLatency == 0 {
		t.typicalLatency = took
		return
	}
	t.typicalLatency += (took - t.typicalLatency) / 4
}
