package keepalive

import "time"

// doubtPause is how soon a lease is renewed again that was doubtful and lives; the
// pause doubles each time, up to the interval between renewals.
const doubtPause = 200 * time.Millisecond

// notFound takes an answer that says that the lease of e is gone. A member that has not
// applied the grant yet says so too: the first such answer is to be confirmed.
func (t *table) notFound(e *entry) {
	switch {
	case e.known || !t.confirms || len(e.subs) == 0 || e.waiting():
		t.drop(e, t.gone)
	case !e.doubtful():
		e.due = never
		t.questions = append(t.questions, e.id)
		t.plan(e)
	}
}

// confirmed ends the doubt about a lease: it is gone, or lives for left at least.
func (t *table) confirmed(now instant, id int64, gone bool, left time.Duration) {
	e := t.byID[id]
	if e == nil || !e.doubtful() {
		return
	}
	if gone {
		t.drop(e, t.gone)
		return
	}
	pause := min(doubtPause<<min(e.doubts, 8), max(doubtPause, e.ttl/renewals))
	e.doubts++
	e.due = after(now, pause)
	e.expiry = max(e.expiry, after(now, left))
	t.plan(e)
}
