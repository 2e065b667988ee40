package cache

import "time"

// proof is what the answer to a question has shown: every write that was acknowledged before sentAt
// has a revision of at most revision. So a view that has reached this revision contains all of
// these writes.
type proof struct {
	revision int64
	sentAt   time.Time
}

// proofs has the proofs that no view has reached, in the order of their revisions and also of their
// times. A proof with a higher revision than another one is kept only if it was sent later. There
// are at most maxProofs, so that a watch which stands still while questions are answered costs
// little.
type proofs []proof

// maxProofs is how many proofs are kept. With fewer of them, a view on its way to the newest one is
// proven until an earlier moment.
const maxProofs = 64

// add adds a proof, and removes those that it makes useless. A proof is useless if there is one of
// the same or a lower revision that was sent at the same time or later.
func (p *proofs) add(n proof) {
	kept := (*p)[:0:0]
	for _, old := range *p {
		if old.revision <= n.revision && !old.sentAt.Before(n.sentAt) {
			return
		}
		if old.revision < n.revision {
			kept = append(kept, old)
		}
	}
	kept = append(kept, n)
	for _, old := range *p {
		if old.revision >= n.revision && old.sentAt.After(n.sentAt) {
			kept = append(kept, old)
		}
	}
	*p = kept
	if len(kept) > maxProofs {
		p.thinOut()
	}
}

// thinOut drops every other proof, but not the newest one.
func (p *proofs) thinOut() {
	kept := (*p)[:0]
	for i, old := range *p {
		if (len(*p)-i)%2 == 1 {
			kept = append(kept, old)
		}
	}
	*p = kept
}

// reached removes the proofs that a view of the given revision has reached. It returns the latest
// of their times, or zero if there are none.
func (p *proofs) reached(revision int64) (until time.Time) {
	for len(*p) > 0 && (*p)[0].revision <= revision {
		until, *p = (*p)[0].sentAt, (*p)[1:]
	}
	return until
}
