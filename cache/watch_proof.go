package cache

import "time"

// progressProof finds out when a request for progress may be answered: when the cache has
// everything that was written before the request.
type progressProof struct {
	since time.Time // of the request that is to be answered; zero if there is none
	later time.Time // of the latest request after it; zero if there is none
	reply *reply    // of the question that is to prove it; nil if there is none
	seen  bool      // the question was seen to be answered: a view must reach the answer
}

// want records a request for progress.
func (p *progressProof) want(now time.Time) {
	if p.since.IsZero() {
		p.since = now
	} else {
		p.later = now
	}
}

// have returns the lowest revision that an answer may have, if a request can be answered now.
// Otherwise it returns 0, and makes sure that a question is sent after the request.
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

// look reports whether the view has reached the answer of the question, and whether the question
// has turned out useless, so that another one is needed.
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

// answered returns a channel that is closed when the question is answered. It returns nil if
// nothing is to be waited for.
func (p *progressProof) answered() <-chan struct{} {
	if p.reply == nil || p.seen {
		return nil
	}
	return p.reply.done
}
