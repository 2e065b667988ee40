package cache

import "time"

// progressProof is what an answer to a request for progress waits for: that the cache has all that
// was written before the request.
type progressProof struct {
	since time.Time // of the request that is to be answered; zero if there is none
	later time.Time // of the latest request after it; zero if there is none
	reply *reply    // of the question that is to prove it; nil if there is none
	seen  bool      // the question was seen to be answered: a view must reach the answer
}

// want takes a request for progress.
func (p *progressProof) want(now time.Time) {
	if p.since.IsZero() {
		p.since = now
	} else {
		p.later = now
	}
}

// have returns at which revision, or a later one, a request may be answered now. It returns 0 if
// none may be, and has a question asked then, which is sent after the request.
func (p *progressProof) have(c *Cache, v *view) int64 {
	if v.err != nil {
		*p = progressProof{} // nothing can be proven any more
	}
	if p.since.IsZero() {
		return 0
	}
	proven, failed := p.look(c, v)
	if proven {
		revision := p.reply.answers[c].revision
		*p = progressProof{since: p.later}
		return revision
	}
	if p.reply == nil || failed {
		p.reply, p.seen = c.asker.join(c, p.since), false
	}
	return 0
}

// look reports whether the view shows what the question has proven, and whether the question can no
// longer prove anything.
func (p *progressProof) look(c *Cache, v *view) (proven, failed bool) {
	if p.reply == nil {
		return false, false
	}
	select {
	case <-p.reply.done:
	default:
		return false, false
	}
	p.seen = true
	a := p.reply.answers[c]
	taken := p.reply.err == nil && a.takenBy(v)
	proven = taken && a.proves && a.era == v.era
	return proven, p.reply.err != nil || taken && !proven
}

// answered returns a channel that is closed when the question is answered, and nil once that was
// seen.
func (p *progressProof) answered() <-chan struct{} {
	if p.reply == nil || p.seen {
		return nil
	}
	return p.reply.done
}
