package keepalive

import "time"

// doubtPause is how soon a lease is renewed again that was doubtful and lives; the
// pause doubles each time, up to the interval between renewals.
const doubtPause = 200 * time.Millisecond

// doubtsToMove is how often one lease that lives is unknown to a stream before the stream
// moves: a member that is only just behind knows it the second time.
const doubtsToMove = 2

// notFound takes an answer that says that the lease of e is gone. A member that has not
// applied the grant yet says so too: the first such answer is to be confirmed.
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

// confirmed ends the doubt about a lease: it is gone, or lives for left at least. It asks
// to move to another stream when this one has not known a living lease twice. Each lease
// asks for that once, so that leases which no stream knows cannot do so for ever.
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
