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
//
// What a session may delete is what it can prove to have made. A mutex's key has
// the session's mark as its value. A candidate's value is the user's, so that it
// proves less: see orphan. Another session on the same lease that finds the key of a
// mutex replaces the mark by its own before it relies on the key, and the deletion of
// a marked key has the mark as a condition: so clean-up and the other session never
// both have their way.
type slot struct {
	mark     string          // what the values of this session's keys begin with; "" for none
	values   map[string]bool // of puts that are suspects; nil where any value may be
	calls    int             // acquisitions under way
	attempts int             // puts under way
	claims   map[int64]int   // incarnation → how many rely on it
	found    map[int64]bool  // claimed incarnations that another session made
	// incarnations that Unlock has deleted, or will, while calls were under way
	released map[int64]bool
	doomed   map[int64]bool // incarnations to delete → whether a suspect has made them
	gone     map[int64]bool // incarnations that were deleted
	suspects int            // puts that may have made, or may still make, an incarnation
	unlooked bool           // nobody has looked at the store since a put became a suspect
	cleared  chan struct{}  // closed when nothing is urgent any more; nil where nothing is
	sweeper  *sweeper       // at work while the slot is dirty
}

func newSlot() *slot {
	return &slot{
		values: make(map[string]bool),
		claims: make(map[int64]int), found: make(map[int64]bool), released: make(map[int64]bool),
		doomed: make(map[int64]bool), gone: make(map[int64]bool),
	}
}

// idle reports whether there is nothing to know.
func (k *slot) idle() bool {
	return k.calls == 0 && k.attempts == 0 && len(k.claims) == 0 && !k.dirty() && k.sweeper == nil
}

// dirty reports whether there is something to delete or to look out for.
func (k *slot) dirty() bool { return len(k.doomed) > 0 || k.suspects > 0 }

// urgent reports whether the store may hold what is to be deleted.
func (k *slot) urgent() bool { return len(k.doomed) > 0 || k.unlooked }

// enter is the start of an acquisition.
func (k *slot) enter() { k.calls++ }

// exit is the end of an acquisition.
func (k *slot) exit() {
	if k.calls--; k.calls == 0 {
		clear(k.released)
	}
}

// unlock is the start of a release. Acquisitions under way with the same key are
// told of it by released: they are to put another key, as their session lives.
func (k *slot) unlock(rev int64) {
	if k.calls > 0 {
		k.released[rev] = true
	}
}

// begin is the start of a put.
func (k *slot) begin() { k.attempts++ }

// over is the end of a put that relies on nothing.
func (k *slot) over() {
	if k.attempts--; k.attempts == 0 {
		clear(k.gone)
	}
}

// lost is the end of a put of value whose outcome is unknown.
func (k *slot) lost(value string) {
	k.over()
	k.suspects++
	k.unlooked = true
	if k.values != nil {
		k.values[value] = true
	}
}

// suspect is for a put of any value whose outcome is unknown.
func (k *slot) suspect() {
	k.suspects++
	k.unlooked = true
	k.values = nil
}

// canBeSuspects reports whether a suspect may have made a key with this value.
func (k *slot) canBeSuspects(value string) bool { return k.values == nil || k.values[value] }

// orphan is for the end of a session whose lease another one may take over. What a
// suspect makes from then on, the other session may rely on before it is seen here.
// Where values prove nothing, that goes for all there is to delete.
func (k *slot) orphan() {
	switch {
	case k.values == nil:
	case k.mark == "":
		k.clean()
	default:
		k.suspects, k.unlooked = 0, false
	}
}

// claim is the end of a put that has made, or found, the incarnation rev and is
// going to rely on it. It reports false where that has been deleted, or is about to
// be. An incarnation that another session made is deleted by nothing but a release.
func (k *slot) claim(rev int64, made, others bool) bool {
	defer k.over()
	if _, doomed := k.doomed[rev]; doomed || k.gone[rev] {
		return false
	}
	switch first := k.claims[rev] == 0; {
	case first && others:
		k.found[rev] = true
	case first && !made && k.suspects > 0 && k.attempts == 1:
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
	if k.found[rev] {
		k.unclaim(rev)
		return
	}
	if k.claims[rev]--; k.claims[rev] == 0 {
		k.doom(rev)
	}
}

// unclaim takes one claim back, and dooms nothing.
func (k *slot) unclaim(rev int64) {
	if k.claims[rev]--; k.claims[rev] <= 0 {
		k.forget(rev)
	}
}

// forget is for an incarnation that is relied on no more.
func (k *slot) forget(rev int64) {
	delete(k.claims, rev)
	delete(k.found, rev)
}

// doom is for an incarnation that has to go, also while calls rely on it.
func (k *slot) doom(rev int64) {
	k.forget(rev)
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
	k.forget(rev)
	if k.attempts > 0 {
		k.gone[rev] = true
	}
}

// clean gives up on what is to delete.
func (k *slot) clean() {
	clear(k.doomed)
	k.suspects, k.unlooked = 0, false
}
