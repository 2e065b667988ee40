package keepalive

import "time"

// doubtPause is the pause before the next renewal of a lease that was doubtful and is not gone. It
// doubles each time the lease is doubtful, up to the interval between renewals.
const doubtPause = 200 * time.Millisecond

// doubtsToMove is the number of renewals at which members did not know a living lease, after which
// the stream moves to another member. A member that is only a little behind knows the lease at the
// second renewal.
const doubtsToMove = 2

// notFound handles an answer that says that the lease of e is gone. A member that has not applied
// the grant yet gives that answer, too. So if the lease was never renewed, notFound has another
// member asked whether the lease exists.
func (t *table) notFound(e *entry) {
	switch {
	case e.known || !t.confirms || len(e.subs) == 0 || e.waiting():
		t.drop(e, t.gone)
	case !e.doubtful():
		e.due, e.stream = never, t.stream
		t.questions = append(t.questions, e.id)
		t.plan(e)
	}
}

// confirmed handles another member's answer about a doubtful lease: it is gone, or it lives for
// left at least. confirmed reports whether the stream must move to another member, because the
// stream's member did not know a living lease for the second time. A lease moves the stream only
// once, so that a lease that no member knows does not move streams for ever.
func (t *table) confirmed(now instant, id int64, gone bool, left time.Duration) (move bool) {
	e := t.byID[id]
	if e == nil || !e.doubtful() {
		return false
	}
	if gone {
		t.drop(e, t.gone)
		return false
	}
	pause := min(doubtPause<<min(e.doubts, 8), max(doubtPause, e.ttl/renewals))
	e.doubts++
	e.due = after(now, pause)
	e.expiry = max(e.expiry, after(now, left))
	t.plan(e)
	move = left > 0 && e.doubts == doubtsToMove && t.open && e.stream == t.stream
	if move {
		t.interrupt(now)
	}
	return move
}
