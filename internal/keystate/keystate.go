package keystate

import "cmp"

// Version identifies one version of a key: what one put has written. A key that was deleted and
// created again has a greater Create. A key that was put again has a greater Mod.
type Version struct {
	Create int64 // create revision
	Mod    int64 // mod revision; 0 if all puts with this create revision count as one version
}

// compare returns a negative number if v is older than w, 0 if they are equal, and a positive
// number if v is newer.
func (v Version) compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Create, w.Create), cmp.Compare(v.Mod, w.Mod))
}

// Incarnation is the record of one incarnation of a key, that is, of the key from its creation to
// its deletion. The calls that use the key hold a pointer to the record. The session's mutex guards
// the record, except for Create, which does not change.
type Incarnation struct {
	Version
	value  string // the key's value, if a transaction or clean-up has read it
	made   bool   // a put of this session is known to have created the key
	own    bool   // a nonce (random text) in the value proves that this session has created the key
	users  int    // how many calls, locks and candidacies of this session use the key
	ended  bool   // an Unlock of this session has begun to delete the key
	status status
}

type status uint8

const (
	known status = iota
	toDelete
	denied // clean-up has given up deleting the key, but an earlier delete may still be applied
	gone
)

// New returns a record of the incarnation of a key with version v. The record does not say which
// session has created the key. Its field users is 0.
func New(v Version) *Incarnation { return &Incarnation{Version: v} }

// End records that an Unlock has begun to delete this incarnation of the key. All calls that use
// the incarnation share this record.
func (in *Incarnation) End() { in.ended = true }

// Ended reports whether an Unlock of this session has begun to delete this incarnation of the key.
func (in *Incarnation) Ended() bool { return in.ended }

// refuses reports whether this session must not use version v of the key. A put has just created or
// found v. The session must not use v for either of two reasons: v belongs to an older incarnation
// than this one, or the session has deleted v or has to delete it.
func (in *Incarnation) refuses(v Version) bool {
	return v.Create < in.Create ||
		v.Create == in.Create && (in.ended || in.status != known && v.Mod <= in.Mod)
}

// State holds what a session knows about one key. An incarnation of the key is the key from its
// creation to its deletion. The zero State is for a key about which the session knows nothing.
type State struct {
	puts      int            // the number of this session's puts of the key that are under way
	current   *Incarnation   // the newest incarnation of the key that is known, or nil
	uncertain map[string]int // the number of puts with an unknown outcome, by the value of the put
	unlooked  bool           // clean-up has not read the key since a put had an unknown outcome
	unique    bool           // Discard was called, which is only for keys that one put has used
	seen      *Incarnation   // the key as clean-up has read it last; nil if there was no key
}

// Begin records that a put has begun. One of Fail, Lose, Made and Found records its end.
func (k *State) Begin() { k.puts++ }

// Fail records the end of a put that has no effect, or whose result is not used.
func (k *State) Fail() {
	k.puts--
	k.settle()
}

// Lose records the end of a put with an unknown outcome: a member may have applied it, or may do so
// later. The parameter value is what the put may have written.
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

// Made records that a put has created the key, with version v. It returns the record of the
// incarnation that the caller now uses. If it returns nil, the caller must not use v: it deletes v
// and puts again.
func (k *State) Made(v Version) *Incarnation { return k.use(&Incarnation{Version: v, made: true}) }

// Found records that a put has found the key, with version v and the given value. If own is set,
// the value proves that this session has created the key. Found returns the record of the
// incarnation that the caller now uses. If it returns nil, the caller must not use v: it deletes v
// and puts again.
func (k *State) Found(v Version, value string, own bool) *Incarnation {
	return k.use(&Incarnation{Version: v, value: value, own: own})
}

// use records that a put has created or found the key. The record at describes the key after the
// put. use returns the State's record of this incarnation of the key, and counts the caller in the
// record's field users. It returns nil if the key must not be used.
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
	case in.Mod < at.Mod:
		// Another session on the lease has written its nonce into the value, and may still use the
		// key. So from here on this session has only found the key, and does not delete it.
		in.Mod, in.value, in.made, in.own = at.Mod, at.value, false, false
	}
	in.users++
	return in
}

// Release records that a call has failed or does not need the incarnation of the key any more. If
// nothing in this session uses the key now, and this session has created it, clean-up deletes it.
func (k *State) Release(in *Incarnation) {
	if in.users == 0 {
		return // Delete or Deleted has set users to 0
	}
	in.users--
	k.deleteUnused()
}

// deleteUnused marks the newest incarnation of the key for deletion if this session has created it
// and no longer uses it.
func (k *State) deleteUnused() {
	in := k.current
	if in != nil && (in.made || in.own) && in.users == 0 && in.status == known {
		in.status = toDelete
	}
}

// Delete marks an incarnation of the key for deletion by clean-up, even if calls, locks or
// candidacies of this session still use the key.
func (k *State) Delete(in *Incarnation) {
	if in = k.newest(in); in != nil && in.status != gone {
		in.status, in.users = toDelete, 0
	}
}

// Deleted records that version v of the key no longer exists.
func (k *State) Deleted(v Version) {
	if in := k.newest(New(v)); in != nil {
		in.status, in.users = gone, 0
	}
	if k.seen != nil && k.seen.compare(v) <= 0 {
		k.seen = nil
	}
}

// newest returns the State's record of the incarnation that is described by in. If the State has no
// record, or one of an older incarnation, newest first replaces it by in. If the State knows a
// newer incarnation, or a newer version of this one, newest returns nil.
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

// Discard marks a key for deletion. At most one put may have used the key's name. create is the
// create revision of the key, or 0 if that is unknown. With 0, clean-up looks for the key until it
// finds and deletes it, because the put may be applied late.
func (k *State) Discard(create int64) {
	k.unique = true
	if create == 0 {
		k.addUncertain("")
	} else {
		k.Delete(New(Version{Create: create}))
	}
}

// Saw records that clean-up has read the key and found version v with the given value.
func (k *State) Saw(v Version, value string) {
	if k.unique {
		// Discard does not know which value the put has written, so it has counted the put under
		// the value "" in the map uncertain.
		value = ""
	}
	k.seen, k.unlooked = &Incarnation{Version: v, value: value}, false
	k.settle()
}

// SawNone records that clean-up has read the key and found no key, or one on another lease.
func (k *State) SawNone() { k.seen, k.unlooked = nil, false }

// settle finds out whether an unanswered put has created the newest incarnation of the key. If so,
// the outcome of the put is known. If no call of this session uses the key, settle also marks the
// key for deletion. While a put is under way, settle does nothing, because that put may have
// created the key.
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

// Orphan records that the session has ended without revoking its lease. Another session may then
// use the lease, and put the key again. Such a put changes the key's mod revision. So clean-up
// deletes the key only if it knows the mod revision, or if [State.Discard] has marked the key.
func (k *State) Orphan() {
	if k.unique {
		return
	}
	k.forget()
	if in := k.ToDelete(); in != nil && in.Mod == 0 {
		// The key must not be deleted any more: another session may use it, and a delete without a
		// mod revision as its condition would not notice. Calls of this session may still hold the
		// record. The State gets a copy, so that they cannot change it.
		kept := *in
		kept.status = known
		k.current = &kept
	}
}

// GiveUp forgets the puts with an unknown outcome. If clean-up has to delete the key, GiveUp
// records that clean-up could not delete it, and later puts do not use the key.
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

// ToDelete returns the incarnation of the key that clean-up has to delete, or nil.
func (k *State) ToDelete() *Incarnation {
	if k.current == nil || k.current.status != toDelete {
		return nil
	}
	return k.current
}

// Dirty reports whether clean-up has to delete the key, or to look for a key that a put with an
// unknown outcome may create.
func (k *State) Dirty() bool { return k.ToDelete() != nil || len(k.uncertain) > 0 }

// Urgent reports whether clean-up has to delete the key, or has to read it because the outcome of a
// put is unknown and clean-up has not read the key since that put.
func (k *State) Urgent() bool { return k.ToDelete() != nil || k.unlooked }

// Users returns how many calls, locks and candidacies of this session use the newest incarnation of
// the key.
func (k *State) Users() int {
	if k.current == nil {
		return 0
	}
	return k.current.users
}

// Idle reports whether the session may forget the State. No put may be under way, no call, lock or
// candidacy may use the key, and clean-up must have nothing to do. If clean-up has given up
// deleting the key, Idle returns false, because the State must keep later puts from using the key.
func (k *State) Idle() bool {
	return k.puts == 0 && !k.Dirty() && k.Users() == 0 &&
		(k.current == nil || k.current.status != denied)
}
