package cache

import "time"

// proof is what the answer to one linearizable read has shown. The read was sent at sentAt. Every
// write acknowledged before sentAt has the proof's revision or a lower one. So a view that has
// reached this revision contains all of these writes.
type proof struct {
	revision int64
	sentAt   time.Time
}

// proofs has the proofs (answers to linearizable reads) whose revision no view has reached yet. A
// proof is dropped if another one has the same or a lower revision, and the same or a later sentAt.
// So both revision and sentAt ascend in the list. It has at most maxProofs entries, because the
// watch may be stuck while reads are still answered.
type proofs []proof

// maxProofs is how many proofs (what the answers to linearizable reads have shown) are kept at
// most. After some were dropped, a view may get an earlier ProvenAt than the answers would allow.
const maxProofs = 64

// add adds the proof n (what the answer to a linearizable read has shown), and removes the proofs
// that n makes useless. A proof is useless if another one has the same or a lower revision, and the
// same or a later sentAt. If n itself is useless, add does nothing.
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

// thinOut drops every second proof (what the answer to a linearizable read has shown), but keeps
// the one with the latest sentAt. It is called when there are more than maxProofs.
func (p *proofs) thinOut() {
	kept := (*p)[:0]
	for i, old := range *p {
		if (len(*p)-i)%2 == 1 {
			kept = append(kept, old)
		}
	}
	*p = kept
}

// reached takes the revision that a view has reached, and removes the proofs up to it. A proof is
// what the answer to a linearizable read has shown. reached returns the latest sentAt of the
// removed proofs, or the zero time if none was removed. Every write acknowledged before this time
// is in the view.
func (p *proofs) reached(revision int64) (until time.Time) {
	for len(*p) > 0 && (*p)[0].revision <= revision {
		until, *p = (*p)[0].sentAt, (*p)[1:]
	}
	return until
}
