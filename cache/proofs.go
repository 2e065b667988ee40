package cache

import "time"

// proof says that every write that was acknowledged before sentAt has a revision of at most
// revision. It proves a view that has reached the revision.
type proof struct {
	revision int64
	sentAt   time.Time
}

// proofs are those that no view has reached, ordered by revision and by time: one that is later in
// both is all that a reader can wait for beyond the one before.
type proofs []proof

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
}

// reached removes the proofs of a view at the given revision, and returns until when they prove it;
// zero if there are none.
func (p *proofs) reached(revision int64) (until time.Time) {
	for len(*p) > 0 && (*p)[0].revision <= revision {
		until, *p = (*p)[0].sentAt, (*p)[1:]
	}
	return until
}
