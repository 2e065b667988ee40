package keystate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// made begins a put, and records that the put created a mutex's key at revision 5.
func made(t *testing.T, k *State) *Incarnation {
	t.Helper()
	k.Begin()
	in := k.Made(Version{Create: 5, Mod: 5})
	require.NotNil(t, in)
	return in
}

// found begins a put, and records that the put found the version v of the key.
func found(k *State, v Version, value string, own bool) *Incarnation {
	k.Begin()
	return k.Found(v, value, own)
}

// TestWhatIsDeleted shows which keys are deleted after their last user has left.
func TestWhatIsDeleted(t *testing.T) {
	v := Version{Create: 5, Mod: 5}
	for name, c := range map[string]struct {
		before  func(k *State)
		use     func(t *testing.T, k *State) []*Incarnation
		deleted bool
	}{
		"what was made": {deleted: true, use: func(t *testing.T, k *State) []*Incarnation {
			return []*Incarnation{made(t, k), found(k, v, "a/made", true)}
		}},
		"what was found": {use: func(_ *testing.T, k *State) []*Incarnation {
			return []*Incarnation{found(k, v, "b/made", false)}
		}},
		"what its value proves": {deleted: true, use: func(_ *testing.T, k *State) []*Incarnation {
			return []*Incarnation{found(k, v, "a/made", true)}
		}},
		"what an uncertain put has made": {deleted: true,
			before: func(k *State) { k.Begin(); k.Lose("value") },
			use: func(_ *testing.T, k *State) []*Incarnation {
				return []*Incarnation{found(k, Version{Create: 5}, "value", false)}
			}},
		"what an orphan's uncertain put has made": {
			before: func(k *State) { k.Begin(); k.Lose("value"); k.Orphan() },
			use: func(_ *testing.T, k *State) []*Incarnation {
				return []*Incarnation{found(k, Version{Create: 5}, "value", false)}
			}},
		"what another session has used as well": {use: func(t *testing.T, k *State) []*Incarnation {
			return []*Incarnation{made(t, k),
				found(k, Version{Create: 5, Mod: 7}, "b/found", false)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := &State{}
			if c.before != nil {
				c.before(k)
			}
			for _, in := range c.use(t, k) {
				require.Nil(t, k.ToDelete(), "it has users")
				k.Release(in)
			}
			assert.Equal(t, c.deleted, k.ToDelete() != nil)
			assert.Equal(t, !c.deleted, k.Idle())
		})
	}
}

// TestLateAnswers: a put finds a version of the key, and this version is deleted already or is
// about to be deleted. The put must not use this version.
func TestLateAnswers(t *testing.T) {
	v := Version{Create: 5, Mod: 5}
	for name, end := range map[string]func(k *State, in *Incarnation){
		"unlocking": func(_ *State, in *Incarnation) { in.End() },
		"unlocked":  func(k *State, in *Incarnation) { in.End(); k.Deleted(in.Version) },
		"to delete": func(k *State, in *Incarnation) { k.Delete(in) },
		"failed":    func(k *State, in *Incarnation) { k.Release(in) },
		"deleted":   func(k *State, in *Incarnation) { k.Release(in); k.Deleted(in.Version) },
		"followed": func(k *State, _ *Incarnation) {
			k.Begin()
			k.Made(Version{Create: 9, Mod: 9})
		},
	} {
		k := &State{}
		in := made(t, k)
		k.Begin()
		end(k, in)
		assert.Nil(t, k.Found(v, "a/made", true), name)
	}
}

// TestOrphanKeepsWhatIsSafe: a session with a key to delete ends without revoking its lease, so
// another session may use the key. The key is deleted only if that cannot harm another session.
func TestOrphanKeepsWhatIsSafe(t *testing.T) {
	k := &State{}
	k.Release(made(t, k))
	k.Orphan()
	assert.NotNil(t, k.ToDelete(), "of a mutex, whose version changes if another session uses it")

	k = &State{}
	k.Delete(New(Version{Create: 5}))
	k.Orphan()
	assert.Nil(t, k.ToDelete(), "of a candidate")

	k = &State{}
	k.Discard(5)
	k.Orphan()
	assert.NotNil(t, k.ToDelete(), "of a name that no other put uses")
}

// TestDiscard: after a put with an unknown outcome was discarded, the key that the put may have
// created is deleted, whatever its value is.
func TestDiscard(t *testing.T) {
	k := &State{}
	k.Discard(0)
	assert.True(t, k.Urgent(), "the key has to be looked at")
	k.SawNone()
	assert.False(t, k.Urgent())
	assert.True(t, k.Dirty(), "the put may still be applied")
	k.Saw(Version{Create: 5}, "value")
	require.NotNil(t, k.ToDelete())
	k.Deleted(Version{Create: 5})
	assert.True(t, k.Idle())
}

// TestUsersBeforeOrphan: the session has ended without revoking its lease, which Orphan records. A
// put then finds the key before clean-up deletes it, and uses it. The key is deleted when this use
// ends. Uses from before Orphan no longer count.
func TestUsersBeforeOrphan(t *testing.T) {
	k := &State{}
	k.Begin()
	before := k.Made(Version{Create: 5})
	k.Begin()
	k.Delete(before)
	k.Orphan()
	again := k.Found(Version{Create: 5}, "value", false)
	require.NotNil(t, again)
	k.Release(before)
	assert.Nil(t, k.ToDelete())
	k.Release(again)
	assert.NotNil(t, k.ToDelete())
}

// TestGiveUp: clean-up gives up a key that it has to delete. Its deletion may still be applied, so
// no put uses the key until the key is deleted.
func TestGiveUp(t *testing.T) {
	k := &State{}
	k.Begin()
	k.Lose("value")
	k.Release(made(t, k))
	k.GiveUp()
	assert.False(t, k.Dirty())
	assert.Nil(t, found(k, Version{Create: 5, Mod: 5}, "a/made", true))
	k.Deleted(Version{Create: 5, Mod: 5})
	assert.True(t, k.Idle())
}
