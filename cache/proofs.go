package cache

import "time"

// proof says that every write that was acknowledged before sentAt has a revision of at most
// revision. It proves a view that has reached the revision.
type proof struct {
	revision int64
	sentAt   time.Time
}

// proofs are those that no view has reached, ordered by revision and by time: one that is later in
// both is all that a reader can wait for beyond the one before. There are maxProofs at most, so a
// watch that stands still while questions are answered costs little.
type proofs []proof

// maxProofs is how many proofs are kept. With fewer of them, a view on its way to the newest one is
// proven until an earlier moment.
const maxProofs = 64

// add keeps a proof, unless one with a revision as low or lower is as late or later.
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

// reached removes the proofs of a view at the given revision, and returns until when they prove it;
// zero if there are none.
func (p *proofs) reached(revision int64) (until time.Time) {
	for len(*p) > 0 && (*p)[0].revision <= revision {
		until, *p = (*p)[0].sentAt, (*p)[1:]
	}
	return until
}
