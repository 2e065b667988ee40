package concurrency

// slot is what a session knows of its dealings with one key: who relies on it, and
// what has to be deleted. It is pure data; the session's mutex guards it.
//
// A key has incarnations, told apart by their create revisions. One that a put of
// this session has made is deleted once nobody relies on it. Puts whose outcome is
// unknown are suspects: each of them may have made an incarnation, or may still do
// so, whenever a member that was cut off or stopped gets to it.
//
// Invariants: an incarnation is not both claimed and doomed, so that nobody comes
// to rely on a key whose deletion is under way. What was deleted while a put was
// under way is remembered until none is, as the put may report it.
type slot struct {
	attempts int            // puts under way
	claims   map[int64]int  // incarnation → how many rely on it
	doomed   map[int64]bool // incarnations to delete → whether a suspect has made them
	gone     map[int64]bool // incarnations that were deleted
	suspects int            // puts that may have made, or may still make, an incarnation
	unlooked bool           // nobody has looked at the store since a put became a suspect
	cleared  chan struct{}  // closed when nothing is urgent any more; nil where nothing is
	sweeper  *sweeper       // at work while the slot is dirty
}

func newSlot() *slot {
	return &slot{claims: make(map[int64]int), doomed: make(map[int64]bool), gone: make(map[int64]bool)}
}

// idle reports whether there is nothing to know.
func (k *slot) idle() bool {
	return k.attempts == 0 && len(k.claims) == 0 && !k.dirty() && k.sweeper == nil
}

// dirty reports whether there is something to delete or to look out for.
func (k *slot) dirty() bool { return len(k.doomed) > 0 || k.suspects > 0 }

// urgent reports whether the store may hold what is to be deleted.
func (k *slot) urgent() bool { return len(k.doomed) > 0 || k.unlooked }

// begin is the start of a put.
func (k *slot) begin() { k.attempts++ }

// over is the end of a put that relies on nothing.
func (k *slot) over() {
	if k.attempts--; k.attempts == 0 {
		clear(k.gone)
	}
}

// lost is the end of a put whose outcome is unknown.
func (k *slot) lost() {
	k.over()
	k.suspect()
}

// suspect is for a put whose outcome is unknown.
func (k *slot) suspect() {
	k.suspects++
	k.unlooked = true
}

// claim is the end of a put that has made, or found, the incarnation rev and is
// going to rely on it. It reports false where that has been deleted, or is about to
// be.
func (k *slot) claim(rev int64, made bool) bool {
	defer k.over()
	if _, doomed := k.doomed[rev]; doomed || k.gone[rev] {
		return false
	}
	if !made && k.claims[rev] == 0 && k.suspects > 0 && k.attempts == 1 {
		k.suspects-- // it must have been one of these that made it, and now it is in good hands
	}
	k.claims[rev]++
	return true
}

// release takes one claim back. The last one dooms the incarnation.
func (k *slot) release(rev int64) {
	if k.claims[rev] == 0 {
		return // it was doomed or deleted over the claimant's head
	}
	if k.claims[rev]--; k.claims[rev] == 0 {
		k.doom(rev)
	}
}

// unclaim takes one claim back, and dooms nothing.
func (k *slot) unclaim(rev int64) {
	if k.claims[rev]--; k.claims[rev] <= 0 {
		delete(k.claims, rev)
	}
}

// doom is for an incarnation that has to go whoever relies on it.
func (k *slot) doom(rev int64) {
	delete(k.claims, rev)
	k.doomed[rev] = false
}

// seen is for an incarnation that the store has or had. Where nobody relies on it
// and no put under way can have made it, it must be a suspect's.
func (k *slot) seen(rev int64) {
	_, doomed := k.doomed[rev]
	if k.suspects > 0 && k.attempts == 0 && k.claims[rev] == 0 && !doomed {
		k.doomed[rev] = true
	}
}

// deleted is for an incarnation that is not in the store any more. now tells
// whether it was there before.
func (k *slot) deleted(rev int64, now bool) {
	if k.doomed[rev] && now {
		k.suspects--
	}
	delete(k.doomed, rev)
	delete(k.claims, rev)
	if k.attempts > 0 {
		k.gone[rev] = true
	}
}

// clean gives up on what is to delete.
func (k *slot) clean() {
	clear(k.doomed)
	k.suspects, k.unlooked = 0, false
}
