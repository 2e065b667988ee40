package concurrency

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// slotSim drives a slot against a model of one key in a store: puts that are applied
// now, later or never, answers that come late, holders that come and go, and a
// sweeper that knows the store only from what it saw a while ago.
type slotSim struct {
	t    *testing.T
	rng  *rand.Rand
	slot *slot

	lastRev  int64
	store    int64   // the incarnation that is there; 0: none
	pending  []int64 // answers on their way, by incarnation; negative for found ones
	inflight int     // puts that are neither applied nor answered
	ghosts   int     // puts given up that may still be applied
	holders  []int64
	seen     int64
}

func (m *slotSim) step() {
	switch m.rng.IntN(10) {
	case 0:
		m.slot.begin()
		m.inflight++
	case 1:
		if m.inflight > 0 {
			m.inflight--
			m.pending = append(m.pending, m.apply())
		}
	case 2:
		m.answer()
	case 3:
		if m.inflight > 0 { // a put that fails before it is applied
			m.inflight--
			m.slot.lost("")
			m.ghosts++
		}
	case 4:
		if n := len(m.pending); n > 0 { // a put whose answer is lost
			m.pending = m.pending[:n-1]
			m.slot.lost("")
		}
	case 5:
		if m.ghosts > 0 {
			m.ghosts--
			m.apply()
		}
	case 6:
		if rev := m.anyHolder(); rev != 0 {
			m.slot.release(rev)
		}
	case 7:
		m.seen = m.store
	case 8:
		m.sweep()
	case 9:
		if rev := m.anyHolder(); rev != 0 { // one holder deletes the key over the others' heads
			m.store = 0
			m.slot.deleted(rev, true)
			m.holders = slices.DeleteFunc(m.holders, func(r int64) bool { return r == rev })
		}
	}
	require.GreaterOrEqual(m.t, m.slot.suspects, m.ghosts,
		"nobody looks out for a put that may still be applied")
	for rev := range m.slot.claims {
		require.NotContains(m.t, m.slot.doomed, rev, "claimed and doomed")
		require.Contains(m.t, m.holders, rev, "claimed by nobody")
	}
	for _, rev := range m.holders {
		require.Positive(m.t, m.slot.claims[rev])
		require.Equal(m.t, m.store, rev, "what somebody relies on was deleted")
	}
}

// apply is a put if there is no key, as all acquisitions are.
func (m *slotSim) apply() int64 {
	if m.store != 0 {
		return -m.store
	}
	m.lastRev++
	m.store = m.lastRev
	return m.store
}

func (m *slotSim) answer() {
	if len(m.pending) == 0 {
		return
	}
	i := m.rng.IntN(len(m.pending))
	rev := m.pending[i]
	m.pending = append(m.pending[:i], m.pending[i+1:]...)
	if m.slot.claim(max(rev, -rev), rev > 0, false) {
		m.holders = append(m.holders, max(rev, -rev))
	}
}

func (m *slotSim) anyHolder() int64 {
	if len(m.holders) == 0 {
		return 0
	}
	i := m.rng.IntN(len(m.holders))
	rev := m.holders[i]
	m.holders = append(m.holders[:i], m.holders[i+1:]...)
	return rev
}

func (m *slotSim) sweep() {
	if m.seen != 0 {
		m.slot.seen(m.seen)
	}
	for rev := range m.slot.doomed {
		there := m.store == rev
		if there {
			m.store = 0
		}
		m.slot.deleted(rev, there)
		return
	}
}

// TestAnyHistoryOfASlot shows that a key somebody relies on is never deleted, and that
// in the end one that nobody relies on is.
func TestAnyHistoryOfASlot(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		m := &slotSim{t: t, rng: rng, slot: newSlot()}
		for range 100 {
			m.step()
		}
		for m.inflight > 0 || len(m.pending) > 0 || m.ghosts > 0 || len(m.holders) > 0 {
			m.step()
		}
		for range 3 {
			m.seen = m.store
			m.sweep()
		}
		require.Zero(t, m.store, "a key was left behind")
		require.Zero(t, m.slot.attempts)
		require.Empty(t, m.slot.claims)
		require.Empty(t, m.slot.gone)
	}
}
