package keepalive

import "time"

const (
	// renewals is how often a lease is renewed within one TTL.
	renewals = 3
	// jitter is the largest random change of the interval between two renewals, as a share of the
	// interval. It lets leases that were granted together drift apart.
	jitter = 0.05
	// minStallTimeout is the shortest stall timeout. The stall timeout is how long the stream may
	// be silent while a lease waits for an answer.
	minStallTimeout = 500 * time.Millisecond
	// assumedTTL is the TTL that the keeper assumes for a lease before the first answer. A shorter
	// FirstTimeout is assumed instead. A longer one does not count: it says only how long the user
	// is willing to wait, and the stall timeout must not grow with it.
	assumedTTL = 5 * time.Second
)

// plan schedules e for the instant at which it needs attention. The instant is rounded down to a
// multiple of minStep, so that many entries share it. With an instant for each entry, the schedule
// would take more memory than the entries.
func (t *table) plan(e *entry) {
	at := t.attention(e)
	t.schedule.put(e, at-at%minStep)
}

// replan puts each entry into the schedule anew, after the stream has opened or ended.
func (t *table) replan() {
	for _, e := range t.byID {
		t.plan(e)
	}
}

// attention returns the instant at which the method run has to look at e next. That is the earliest
// of these instants:
//   - the expiry of e
//   - the next renewal, if e waits for no answer
//   - the instant at which the stream counts as stalled, if e waits for an answer
//
// If there is no stream, or no subscriber for the answer, only the expiry counts.
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

// renewAt returns the instant of the next renewal of e, after the last request for it was answered.
// Renewals are due at the ends of steps, whose length depends on the TTL. renewAt picks one of
// these ends at random, about a third of the TTL after the last request was sent.
//
// Too many renewals must not be due at one instant. An instant is full if maxShare of all leases
// are due at it, and at least minShare leases. If the picked instant is full, renewAt goes back
// step by step, and returns the first instant that is not full. It does not go back to before
// now, nor to less than an eighteenth of the TTL after the last request was sent. If all these
// instants are full, it returns the picked one, or now if that is later.
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

// stallsAt returns the instant at which the stream must move to another member if no answer comes.
// It is called for an entry that waits for an answer.
//
// After a pause of the process, the stream stays with its member for at least minStallTimeout, so
// that the answers that arrived during the pause are read. This constant is small: with a larger
// one, a series of pauses could outlast the TTL.
func (t *table) stallsAt(e *entry) instant {
	return max(after(max(e.sentAt, t.lastReceived), t.stallTimeout(e)),
		after(t.resumed, minStallTimeout))
}

// stallTimeout returns how long the stream may be silent while e waits for an answer. After that
// the stream moves to another member. The timeout is longer if answers usually take long. Otherwise
// the stream would leave one slow server after another, each just before the server answers.
func (t *table) stallTimeout(e *entry) time.Duration {
	return max(e.ttl/renewals, minStallTimeout, 2*t.typicalLatency)
}

// learn updates typicalLatency with the time that the answer for e took. It ignores the answer if
// the process has paused since the request, because the pause would count as latency. Short pauses
// go unnoticed, so learn counts at most the stall timeout of e.
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
