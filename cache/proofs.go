package cache

import "time"

// proof is what the answer to one linearizable read has shown. The read was sent at sentAt. Every
// write that was acknowledged before sentAt has a revision of at most the proof's revision. So a
// view that has reached this revision contains all of these writes.
type proof struct {
	revision int64
	sentAt   time.Time
}

// proofs has the proofs (answers to linearizable reads) whose revision no view has reached yet.
// They are in ascending order of their revisions and also of their times. A proof is dropped if
// another proof is at least as good: if it has the same or a lower revision, and the same or a
// later sentAt. The number is limited to maxProofs, so that the list stays short if the watch is
// stuck while reads go on being answered.
type proofs []proof

// maxProofs is how many proofs are kept at most. If there would be more, some are dropped. Then a
// view may get an earlier ProvenAt than the answers of the server would allow.
const maxProofs = 64

// add adds the proof n (what the answer to a linearizable read has shown), and removes the proofs
// that n makes useless. A proof is useless if another proof has the same or a lower revision, and
// the same or a later sentAt. If n itself is useless, add does nothing.
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

// thinOut drops every second proof, but keeps the newest one. It is called when there are more than
// maxProofs.
func (p *proofs) thinOut() {
	kept := (*p)[:0]
	for i, old := range *p {
		if (len(*p)-i)%2 == 1 {
			kept = append(kept, old)
		}
	}
	*p = kept
}

// reached removes the proofs whose revision is not greater than the given revision of a view. It
// returns the latest sentAt of them, or the zero time if it has removed none.
func (p *proofs) reached(revision int64) (until time.Time) {
	for len(*p) > 0 && (*p)[0].revision <= revision {
		until, *p = (*p)[0].sentAt, (*p)[1:]
	}
	return until
}
