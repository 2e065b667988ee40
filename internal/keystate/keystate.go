package keystate

import "cmp"

// Version identifies an incarnation in the state that one of its puts has left.
type Version struct {
	Create int64 // create revision
	Mod    int64 // mod revision; 0 if later puts do not make another version
}

// compare returns a negative number if v is older than w, 0 if they are equal, and a positive one
// if v is newer.
func (v Version) compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Create, w.Create), cmp.Compare(v.Mod, w.Mod))
}

// Incarnation is the record of one incarnation. The calls that use the incarnation hold a pointer
// to it. The session's mutex guards it, except for Create, which does not change.
type Incarnation struct {
	Version
	value  string // the value when a put found it or clean-up saw it first
	made   bool   // a put of this session is known to have created it
	own    bool   // the value proves that this session has created it
	users  int
	ended  bool // Unlock has begun
	status status
}

type status uint8

const (
	known status = iota
	toDelete
	denied // clean-up has given up, but an earlier delete may still be applied
	gone
)

// New returns a record for version v. The record does not say who has created or uses the
// incarnation.
func New(v Version) *Incarnation { return &Incarnation{Version: v} }

// End records that Unlock has begun to delete the incarnation, for all of its users.
func (in *Incarnation) End() { in.ended = true }

// Ended reports whether an Unlock of this session has begun to delete the incarnation.
func (in *Incarnation) Ended() bool { return in.ended }

// refuses reports whether the incarnation must not be used for a put that has created version v, or
// has found the key at version v.
func (in *Incarnation) refuses(v Version) bool {
	return v.Create < in.Create ||
		v.Create == in.Create && (in.ended || in.status != known && v.Mod <= in.Mod)
}

// State holds what a session knows of one key. The zero State is that of a key of which the session
// knows nothing.
type State struct {
	puts      int            // the number of puts under way
	current   *Incarnation   // the newest incarnation that is known, or nil
	uncertain map[string]int // uncertain puts by their value
	unlooked  bool           // clean-up has not read the key since a put became uncertain
	unique    bool           // Discard was called: at most one put has used this key
	seen      *Incarnation   // the key as clean-up saw it last; nil for no key
}

// Begin records that a put has begun. One of Fail, Lose, Made and Found records its end.
func (k *State) Begin() { k.puts++ }

// Fail records the end of a put that has no effect, or whose result is not used.
func (k *State) Fail() {
	k.puts--
	k.settle()
}

// Lose records the end of a put that is uncertain. value is the value that it may have put.
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

// Made records the end of a put that has created v. It returns the incarnation that the caller now
// uses. It returns nil if v must not be used: the caller then deletes v and puts again.
func (k *State) Made(v Version) *Incarnation { return k.use(&Incarnation{Version: v, made: true}) }

// Found records the end of a put that has found v with the given value. own says that the value
// proves that this session has created v. Found returns the incarnation that the caller now uses.
// It returns nil if v must not be used: the caller then deletes v and puts again.
func (k *State) Found(v Version, value string, own bool) *Incarnation {
	return k.use(&Incarnation{Version: v, value: value, own: own})
}

// use records the end of a put that has created or found the incarnation at. It adds a user to the
// record of that incarnation and returns the record. It returns nil if the incarnation must not be
// used.
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
	case in.Mod < at.Mod: // another session has put its mark on it, and may still use it
		in.Mod, in.value, in.made, in.own = at.Mod, at.value, false, false
	}
	in.users++
	return in
}

// Release removes a user of an incarnation: a call that has failed, or that does not need the key
// any more.
func (k *State) Release(in *Incarnation) {
	if in.users == 0 {
		return // it was deleted, or is to delete, in spite of its users
	}
	in.users--
	k.deleteUnused()
}

// deleteUnused marks the newest incarnation for deletion if this session has created it and it has
// no users.
func (k *State) deleteUnused() {
	in := k.current
	if in != nil && (in.made || in.own) && in.users == 0 && in.status == known {
		in.status = toDelete
	}
}

// Delete marks an incarnation for deletion by clean-up, whether or not it has users.
func (k *State) Delete(in *Incarnation) {
	if in = k.newest(in); in != nil && in.status != gone {
		in.status, in.users = toDelete, 0
	}
}

// Deleted records that version v no longer exists.
func (k *State) Deleted(v Version) {
	if in := k.newest(New(v)); in != nil {
		in.status, in.users = gone, 0
	}
	if k.seen != nil && k.seen.compare(v) <= 0 {
		k.seen = nil
	}
}

// newest returns the record of the newest incarnation if that is the incarnation of in, or older.
// An older record is replaced by in first. newest returns nil if a newer incarnation or version is
// known.
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

// Discard marks a key for deletion whose name is used by at most one put. create is the create
// revision of the incarnation to delete. If create is 0, clean-up deletes what the put has created,
// or creates later.
func (k *State) Discard(create int64) {
	k.unique = true
	if create == 0 {
		k.addUncertain("")
	} else {
		k.Delete(New(Version{Create: create}))
	}
}

// Saw records that clean-up has read the key and found v with the given value.
func (k *State) Saw(v Version, value string) {
	if k.unique {
		value = "" // Discard has recorded the put without its value
	}
	k.seen, k.unlooked = &Incarnation{Version: v, value: value}, false
	k.settle()
}

// SawNone records that clean-up has read the key and found none, or one on another lease.
func (k *State) SawNone() { k.seen, k.unlooked = nil, false }

// settle finds out whether an uncertain put has created the newest incarnation. It does nothing
// while a put is under way, because that put may have created it.
func (k *State) settle() {
	if k.puts > 0 {
		return
	}
	if seen := k.seen; seen != nil && k.uncertain[seen.value] > 0 &&
		(k.current == nil || k.current.compare(seen.Version) < 0) {
		k.current = seen
	}
	in := k.current
	if in == nil || in.made || in.status == gone || k.uncertain[in.value] == 0 {
		return
	}
	if k.uncertain[in.value]--; k.uncertain[in.value] == 0 {
		delete(k.uncertain, in.value)
	}
	in.made = true
	k.deleteUnused()
}

// Orphan records that the session has ended and that another session may take over its lease.
func (k *State) Orphan() {
	if k.unique {
		return
	}
	k.forget()
	if in := k.ToDelete(); in != nil && in.Mod == 0 {
		// Another session may use the incarnation, and the version would not show that. The State
		// gets a copy of the record, so that the calls of this session that hold the record cannot
		// change the State.
		kept := *in
		kept.status = known
		k.current = &kept
	}
}

// GiveUp forgets the uncertain puts. If clean-up has an incarnation to delete, GiveUp marks it as
// denied.
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

// ToDelete returns the incarnation that clean-up has to delete, or nil.
func (k *State) ToDelete() *Incarnation {
	if k.current == nil || k.current.status != toDelete {
		return nil
	}
	return k.current
}

// Dirty reports whether clean-up has an incarnation to delete, or an uncertain put to look for.
func (k *State) Dirty() bool { return k.ToDelete() != nil || len(k.uncertain) > 0 }

// Urgent reports whether clean-up has an incarnation to delete, or has not read the key since a put
// became uncertain.
func (k *State) Urgent() bool { return k.ToDelete() != nil || k.unlooked }

// Users returns the number of users of the newest incarnation.
func (k *State) Users() int {
	if k.current == nil {
		return 0
	}
	return k.current.users
}

// Idle reports whether the State may be forgotten.
func (k *State) Idle() bool {
	return k.puts == 0 && !k.Dirty() && k.Users() == 0 &&
		(k.current == nil || k.current.status != denied)
}
