package keystate

import "cmp"

// Version identifies an incarnation as one of its puts left it.
type Version struct {
	Create int64 // create revision
	Mod    int64 // revision of the last put; 0 if puts make no difference
}

// compare returns a negative number if v is older than w, 0 if they are equal, and a positive one
// if v is newer.
func (v Version) compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Create, w.Create), cmp.Compare(v.Mod, w.Mod))
}

// Incarnation is the record of one incarnation; the calls that use it hold it. The session's mutex
// guards it, except for Create, which does not change.
type Incarnation struct {
	Version
	value  string // its value when it was found or seen first
	made   bool   // a put of this session is known to have made it
	own    bool   // its value proves that this session has made it
	users  int
	ended  bool // Unlock has begun
	status status
}

type status uint8

const (
	known status = iota
	toDelete
	denied // clean-up does not try to delete it again; an earlier attempt may still be applied
	gone
)

// New returns a record for v. It says nothing of who made the incarnation or uses it.
func New(v Version) *Incarnation { return &Incarnation{Version: v} }

// End records that Unlock has begun to delete the incarnation, for all of its users.
func (in *Incarnation) End() { in.ended = true }

// Ended reports whether an Unlock of this session deletes, or has deleted, the incarnation.
func (in *Incarnation) Ended() bool { return in.ended }

// refuses reports whether a put that has found v must not use it.
func (in *Incarnation) refuses(v Version) bool {
	return v.Create < in.Create ||
		v.Create == in.Create && (in.ended || in.status != known && v.Mod <= in.Mod)
}

// State holds what a session knows of one key. The zero State is for a key of which the session
// knows nothing.
type State struct {
	puts      int            // under way
	current   *Incarnation   // the newest one that is known; nil for none
	uncertain map[string]int // uncertain puts by their value
	unlooked  bool           // clean-up has not looked since a put became uncertain
	unique    bool           // Discard was called: at most one put has used this key
	seen      *Incarnation   // the key as clean-up saw it last; nil for no key
}

// Begin records that a put begins.
func (k *State) Begin() { k.puts++ }

// Fail records the end of a put that has no effect, or that has found a version which it does not
// use.
func (k *State) Fail() {
	k.puts--
	k.settle()
}

// Lose records the end of a put of value that is uncertain.
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

// Made records the end of a put that has created v. It returns the incarnation that the put uses,
// or nil if v must not be used: the caller then deletes v, and puts again.
func (k *State) Made(v Version) *Incarnation { return k.use(&Incarnation{Version: v, made: true}) }

// Found records the end of a put that has found v with a value. own says that the value proves that
// this session has made v. Found returns the incarnation that the put uses, or nil if v must not be
// used: the caller then deletes v, and puts again.
func (k *State) Found(v Version, value string, own bool) *Incarnation {
	return k.use(&Incarnation{Version: v, value: value, own: own})
}

// use adds a user to the incarnation at, which a put has made or found. It returns the incarnation,
// or nil if it must not be used.
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

// Release removes a user of an incarnation: a call that has failed, or that no longer needs the
// key.
func (k *State) Release(in *Incarnation) {
	if in.users == 0 {
		return // it was deleted, or has to be, although it had users
	}
	in.users--
	k.deleteUnused()
}

// deleteUnused marks the newest incarnation for deletion if this session made it and it has no
// users.
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

// newest returns the record of the incarnation of in, which is in itself if there is no other
// record. It returns nil if a newer incarnation or version is known.
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

// Discard marks for deletion a key whose name at most one put has used. create is the create
// revision of the incarnation to delete. With 0, clean-up deletes what the put may have made, or
// may make yet.
func (k *State) Discard(create int64) {
	k.unique = true
	if create == 0 {
		k.addUncertain("")
	} else {
		k.Delete(New(Version{Create: create}))
	}
}

// Saw records that clean-up has seen the key in the store, as v with a value.
func (k *State) Saw(v Version, value string) {
	if k.unique {
		value = "" // the put that Discard has recorded may have had any value
	}
	k.seen, k.unlooked = &Incarnation{Version: v, value: value}, false
	k.settle()
}

// SawNone records that clean-up has found no key in the store, or a key on another lease.
func (k *State) SawNone() { k.seen, k.unlooked = nil, false }

// settle finds out whether an uncertain put has made the newest incarnation. It does nothing while
// a put is under way, because that put may have made the incarnation.
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
		// Another session may use the incarnation, and its version would not show that. The record
		// is copied, so that calls of this session that still have the old one change nothing.
		kept := *in
		kept.status = known
		k.current = &kept
	}
}

// GiveUp forgets the uncertain puts, and denies the incarnation that clean-up has to delete.
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

// Urgent reports whether clean-up has an incarnation to delete, or has not looked for one since a
// put became uncertain.
func (k *State) Urgent() bool { return k.ToDelete() != nil || k.unlooked }

// Users returns how many users the newest incarnation has.
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
