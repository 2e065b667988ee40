package keepalive

import "time"

// doubtPause is how long a doubtful lease rests before it is renewed again. A lease is doubtful if
// the stream's member has said that it is gone, and another member has not confirmed this. Each
// time this happens to the lease, the pause doubles, up to the interval between renewals.
const doubtPause = 200 * time.Millisecond

// doubtsToMove is how many wrong answers "the lease is gone" about one lease move the stream to
// another member. One is not enough: a member that is only a little behind knows the lease at the
// second renewal.
const doubtsToMove = 2

// notFound handles an answer that says that the lease of e is gone. A member that has not applied
// the grant yet gives that answer, too. So a lease that was never renewed is not dropped at once.
// It becomes doubtful, and the keeper asks another member whether the lease exists.
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

// confirmed handles another member's answer about a doubtful lease. Such a lease was never renewed,
// and the stream's member did not know it. If gone is false, left is a lower bound of the time
// until the lease expires, or 0 if no member has answered.
//
// confirmed returns true if the stream must move to another member. All of these must hold:
//   - the other member knows the lease
//   - the lease is doubtful for the second time
//   - the stream on which it became doubtful is still open
//
// One lease moves the stream only once: if it is doubtful on every stream, another move does not
// help.
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
