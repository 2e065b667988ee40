package cache

import "time"

// progressProof finds out when a consumer's RequestProgress may be answered. The cache must first
// have everything that was acknowledged before the request. So progressProof sends a linearizable
// read after the request. Then it waits until the newest view (state of the cache) has reached the
// revision of the read's answer.
type progressProof struct {
	since time.Time // when the request that is to be answered was made; zero if there is none
	later time.Time // when the newest of the later requests was made; zero if there are none
	reply *reply    // the linearizable read that has to be answered first; nil if none was sent
	// seen says that the linearizable read has been answered. What is still missing is a view that
	// has reached the revision of the answer.
	seen bool
}

// want is called when a consumer requests progress. It records the time of the request, which is
// the parameter now.
func (p *progressProof) want(now time.Time) {
	if p.since.IsZero() {
		p.since = now
	} else {
		p.later = now
	}
}

// pending reports whether a consumer's request for progress still has to be answered.
func (p *progressProof) pending() bool { return !p.since.IsZero() }

// have returns the lowest revision that the answer to a consumer's request for progress may have.
// It returns 0 if the request cannot be answered yet.
//
// If no linearizable read was sent for the request, or the last one did not prove enough, have
// takes part in another. That read is sent after the request, and several readers share it.
func (p *progressProof) have(c *Cache, v *view) int64 {
	if v.err != nil {
		*p = progressProof{} // the cache has ended, so only notices of the server prove progress
	}
	if !p.pending() {
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

// look reports as proven whether the view v (a state of the cache) has reached the revision of the
// linearizable read. It reports as failed whether another read is needed. That is so if this read
// has failed, or if v belongs to a copy of the range made after it was sent.
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

// answered returns a channel that is closed when the linearizable read is answered. It returns nil
// if there is no read to wait for.
func (p *progressProof) answered() <-chan struct{} {
	if p.reply == nil || p.seen {
		return nil
	}
	return p.reply.done
}
