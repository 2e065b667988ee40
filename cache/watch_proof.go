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

// have reports whether a request may be answered now. If not, it has the question asked.
func (p *progressProof) have(c *Cache, v *view) bool {
	if p.since.IsZero() || v.err != nil {
		return false
	}
	if !v.provenAt.Before(p.since) {
		p.since, p.later, p.reply = p.later, time.Time{}, nil
		return true
	}
	if p.reply != nil && p.over(c, v) {
		p.reply = nil
	}
	if p.reply == nil {
		p.reply, p.seen = c.asker.join(c, p.since), false
	}
	return false
}

// over reports whether the question can no longer prove what is wanted.
func (p *progressProof) over(c *Cache, v *view) bool {
	select {
	case <-p.reply.done:
		p.seen = true
		return p.reply.err != nil || p.reply.answers[c].takenBy(v)
	default:
		return false
	}
}

// answered returns a channel that is closed when the question is answered, and nil once that was
// seen.
func (p *progressProof) answered() <-chan struct{} {
	if p.reply == nil || p.seen {
		return nil
	}
	return p.reply.done
}
