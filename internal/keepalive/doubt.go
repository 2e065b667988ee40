package keepalive

import "time"

// doubtPause is the pause before the next renewal of a lease that one member did not know and that
// is not gone. The pause doubles each time a member does not know the lease, up to the interval
// between renewals.
const doubtPause = 200 * time.Millisecond

// doubtsToMove is how many times a stream's member must say that an existing lease is gone before
// the stream moves to another member. One time is not enough: a member that is only a little behind
// knows the lease at the second renewal.
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

// confirmed handles another member's answer about a doubtful lease, which is a lease that the
// stream's member did not know. The lease is gone, or its remaining time is at least left, which is
// 0 if no member has answered. confirmed returns true if the stream must move to another member.
// For that, the other member must know the lease, the lease must be doubtful for the second time,
// and the stream on which it was doubtful must still be open. One lease moves the stream only once.
// Otherwise a lease that is doubtful on every stream would move the stream without end.
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
