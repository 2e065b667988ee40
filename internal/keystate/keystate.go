package keystate

import "cmp"

// Version is what an incarnation was after one of its puts.
type Version struct {
	Create int64 // create revision
	Mod    int64 // revision of the last put; 0 if puts make no difference
}

// compare returns -1 if v is older than w, 0 if they are the same, and 1 if v is newer.
func (v Version) compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Create, w.Create), cmp.Compare(v.Mod, w.Mod))
}

// Incarnation is the record of an incarnation, and what its users hold. The session's mutex guards
// it, except for Create, which does not change.
type Incarnation struct {
	Version
	value  string // when it was found or seen first
	made   bool   // by a put of this session that is known
	own    bool   // made by this session, as its value proves
	users  int
	ended  bool // Unlock has begun
	status status
}

type status uint8

const (
	known status = iota
	toDelete
	denied // clean-up could not delete it, and no longer tries; an attempt may still be applied
	gone
)

// New returns the record of an incarnation of which the session knows nothing else.
func New(v Version) *Incarnation { return &Incarnation{Version: v} }

// End is the beginning of an Unlock, which deletes the incarnation for all of its users.
func (in *Incarnation) End() { in.ended = true }

// Ended reports whether an Unlock of this session deletes, or has deleted, the incarnation.
func (in *Incarnation) Ended() bool { return in.ended }

// refuses reports whether a put that has found v must not use it.
func (in *Incarnation) refuses(v Version) bool {
	return v.Create < in.Create ||
		v.Create == in.Create && (in.ended || in.status != known && v.Mod <= in.Mod)
}

// State is what a session knows of one key. The zero State is that of a key of which it knows
// nothing.
type State struct {
	puts      int            // under way
	current   *Incarnation   // the newest one that is known; nil for none
	uncertain map[string]int // uncertain puts by their value
	unlooked  bool           // nothing was seen since a put became uncertain
	unique    bool           // one put at most has the name of this key: its value does not matter
	seen      *Incarnation   // what clean-up saw last; nil for no key
}

// Begin is the start of a put.
func (k *State) Begin() { k.puts++ }

// Fail is the end of a put that has no effect, or that found what it does not use.
func (k *State) Fail() {
	k.puts--
	k.settle()
}

// Lose is the end of a put of value that became uncertain.
func (k *State) Lose(value string) {
	k.addUncertain(value)
	k.Fail()
}

func (k *State) addUncertain(value string) {
	if k.uncertain == nil {
		k.uncertain = make(map[string]int)
	}
	k.uncertain[value]++
	k.unlooked = true
}

// Made is the end of a put that has created v. It returns nil if v must not be used: the caller
// deletes v, and puts again.
func (k *State) Made(v Version) *Incarnation { return k.use(&Incarnation{Version: v, made: true}) }

// Found is the end of a put that has found v with a value. own says that the value proves that this
// session has made v. Found returns nil as [State.Made] does.
func (k *State) Found(v Version, value string, own bool) *Incarnation {
	return k.use(&Incarnation{Version: v, value: value, own: own})
}

// use adds a user to the incarnation that a put has made or found.
func (k *State) use(at *Incarnation) *Incarnation {
	defer k.Fail()
	in := k.current
	if in != nil && in.Version == at.Version {
		in.made = in.made || at.made
	}
	switch {
	case in != nil && in.refuses(at.Version):
		return nil
	case in == nil || in.status != known || in.Create < at.Create:
		in = at
		k.current = in
	case in.Mod < at.Mod: // another session has used it in between, and may still do so
		in.Mod, in.value, in.made, in.own = at.Mod, at.value, false, false
	}
	in.users++
	return in
}

// take reports whether an uncertain put of value can have made an incarnation. That put is certain
// from then on.
func (k *State) take(value string) bool {
	if !k.mayBeUncertain(value) {
		return false
	}
	if k.unique {
		value = ""
	}
	if k.uncertain[value]--; k.uncertain[value] == 0 {
		delete(k.uncertain, value)
	}
	return true
}

func (k *State) mayBeUncertain(value string) bool {
	return k.uncertain[value] > 0 || k.unique && len(k.uncertain) > 0
}

// Release is for a user of an incarnation that has failed, or is no longer needed.
func (k *State) Release(in *Incarnation) {
	if in.users == 0 {
		return // it was deleted, or has to be, although it had users
	}
	in.users--
	k.deleteUnused()
}

// deleteUnused has what this session made deleted once it has no users.
func (k *State) deleteUnused() {
	in := k.current
	if in != nil && (in.made || in.own) && in.users == 0 && in.status == known {
		in.status = toDelete
	}
}

// Delete has an incarnation deleted by clean-up, whether or not it has users.
func (k *State) Delete(in *Incarnation) {
	if in = k.newest(in); in != nil && in.status != gone {
		in.status, in.users = toDelete, 0
	}
}

// Deleted is for a version that does not exist any more.
func (k *State) Deleted(v Version) {
	if in := k.newest(New(v)); in != nil {
		in.status, in.users = gone, 0
	}
	if k.seen != nil && k.seen.compare(v) <= 0 {
		k.seen = nil
	}
}

// newest returns the record of an incarnation, which is in if there is no other, or nil if a newer
// incarnation or version is known.
func (k *State) newest(in *Incarnation) *Incarnation {
	cur := k.current
	switch {
	case cur == nil || cur.Create < in.Create:
		k.current = in
	case cur.compare(in.Version) > 0:
		return nil
	}
	return k.current
}

// Discard has a key deleted whose name at most one put has used: the incarnation with the given
// create revision, or with 0 the one that a put may have made, or may make yet.
func (k *State) Discard(create int64) {
	k.unique = true
	if create == 0 {
		k.addUncertain("")
	} else {
		k.Delete(New(Version{Create: create}))
	}
}

// Saw is for a key that clean-up has seen in the store.
func (k *State) Saw(v Version, value string) {
	k.seen, k.unlooked = &Incarnation{Version: v, value: value}, false
	k.settle()
}

// SawNone is for clean-up that has seen no key of the session's lease.
func (k *State) SawNone() { k.seen, k.unlooked = nil, false }

// settle finds out whether an uncertain put has made the newest incarnation. While a put is under
// way, that one may have made it.
func (k *State) settle() {
	if k.puts > 0 {
		return
	}
	if seen := k.seen; seen != nil && k.mayBeUncertain(seen.value) &&
		(k.current == nil || k.current.compare(seen.Version) < 0) {
		k.current = seen
	}
	if in := k.current; in != nil && !in.made && in.status != gone && k.take(in.value) {
		in.made = true
		k.deleteUnused()
	}
}

// Orphan is for the end of a session whose lease another one may take over.
func (k *State) Orphan() {
	if k.unique {
		return
	}
	k.forget()
	if in := k.ToDelete(); in != nil && in.Mod == 0 {
		// Another session may use it, and nothing would show that. What has used it here has a
		// record of its own, which no longer counts.
		kept := *in
		kept.status = known
		k.current = &kept
	}
}

// GiveUp forgets what clean-up has to do.
func (k *State) GiveUp() {
	k.forget()
	if in := k.ToDelete(); in != nil {
		in.status = denied
	}
}

func (k *State) forget() {
	clear(k.uncertain)
	k.unlooked = false
}

// ToDelete returns what clean-up has to delete, or nil.
func (k *State) ToDelete() *Incarnation {
	if k.current == nil || k.current.status != toDelete {
		return nil
	}
	return k.current
}

// Dirty reports whether clean-up has anything to delete or to look out for.
func (k *State) Dirty() bool { return k.ToDelete() != nil || len(k.uncertain) > 0 }

// Urgent reports whether the store may have what clean-up has to delete.
func (k *State) Urgent() bool { return k.ToDelete() != nil || k.unlooked }

// Users returns how many users the newest incarnation has.
func (k *State) Users() int {
	if k.current == nil {
		return 0
	}
	return k.current.users
}

// Idle reports whether there is nothing to remember.
func (k *State) Idle() bool {
	return k.puts == 0 && !k.Dirty() && k.Users() == 0 &&
		(k.current == nil || k.current.status != denied)
}
