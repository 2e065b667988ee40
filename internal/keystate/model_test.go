package keystate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// store is a model of one key in a store.
type store struct {
	rev   int64
	there bool
	Version
	value string
}

// put changes the value of the key, or creates it.
func (s *store) put(value string) {
	s.rev++
	if !s.there {
		s.there, s.Create = true, s.rev
	}
	s.Mod, s.value = s.rev, value
}

// model simulates sessions that share a lease and use one key. A request is applied at once, later
// or never. Its answer comes late or is lost.
type model struct {
	t        *testing.T
	rng      *rand.Rand
	store    store
	sessions []*modelSession
	unlocks  []unlock
	gaveUp   bool     // clean-up has given up, as if the server had denied the deletion
	lostMark bool     // the outcome of a call of putMark is unknown, so a key may be left behind
	late     []func() // requests that were given up and may still be applied
}

// modelSession is a session of the model.
type modelSession struct {
	m        *model
	name     string
	State    State
	nonce    string   // of a mutex; "" for candidates
	requests []func() // requests that are not applied
	answers  []func() // answers on their way
	lost     int      // puts with an unknown outcome that may still be applied
	users    []*user
}

// unlock is a call that deletes an incarnation, at once or later.
type unlock struct {
	by     *modelSession
	create int64
}

// user is a call that uses an incarnation of the key, until the incarnation is unlocked.
type user struct {
	in       *Incarnation
	unlocked bool
}

func newModel(t *testing.T, rng *rand.Rand, nonces ...string) *model {
	m := &model{t: t, rng: rng}
	for _, nonce := range nonces {
		m.sessions = append(m.sessions, &modelSession{m: m, name: nonce, nonce: nonce})
	}
	return m
}

// version returns the version v as a session records it. A candidate's session does not record the
// mod revision, because the candidate may change the value of its key.
func (s *modelSession) version(v Version) Version {
	if s.nonce == "" {
		v.Mod = 0
	}
	return v
}

// value returns a value for a put of the session.
func (s *modelSession) value() string {
	if s.nonce == "" {
		return fmt.Sprint("value", s.m.rng.IntN(2))
	}
	return s.nonce + "/made"
}

// put begins a call that creates the key, or finds it.
func (s *modelSession) put() {
	s.State.Begin()
	s.send(s.value())
}

// send sends the request of a put that has begun.
func (s *modelSession) send(value string) {
	s.requests = append(s.requests, func() {
		st := &s.m.store
		if s.m.rng.IntN(6) == 0 { // the client gives up the put, which may be applied later
			s.State.Lose(value)
			s.lost++
			s.m.late = append(s.m.late, func() {
				s.lost--
				if !st.there {
					st.put(value)
				}
			})
			return
		}
		found := st.there
		if !found {
			st.put(value)
		}
		if s.m.rng.IntN(6) == 0 { // the answer is lost
			s.State.Lose(value)
			return
		}
		at, old := st.Version, st.value
		s.answers = append(s.answers, func() { s.answered(at, old, value, found) })
	})
}

func (s *modelSession) answered(at Version, old, value string, found bool) {
	switch {
	case !found:
		s.use(s.State.Made(s.version(at)), at, value)
	case s.nonce == "" || strings.HasPrefix(old, s.nonce):
		own := s.nonce != "" && old == value
		s.use(s.State.Found(s.version(at), old, own), at, value)
	default:
		s.putMark(at, old, value)
	}
}

// putMark changes the value of a key that another session has created. The new value, the mark,
// shows that this session uses the key too.
func (s *modelSession) putMark(at Version, old, value string) {
	st := &s.m.store
	s.requests = append(s.requests, func() {
		apply := func() bool {
			if !st.there || st.Create != at.Create {
				return false
			}
			st.put(s.nonce + "/found")
			return true
		}
		if s.m.rng.IntN(10) == 0 {
			s.State.Fail()
			s.m.lostMark = true
			s.m.late = append(s.m.late, func() { apply() })
			return
		}
		if !apply() {
			s.answers = append(s.answers, func() { s.send(value) })
			return
		}
		now := st.Version
		s.answers = append(s.answers, func() { s.use(s.State.Found(now, old, false), now, value) })
	})
}

// use ends a put that found the key. If the parameter in is not nil, the state has accepted the
// found key, and the session uses it. Otherwise the session deletes the key and puts it again.
func (s *modelSession) use(in *Incarnation, at Version, value string) {
	if in != nil {
		s.users = append(s.users, &user{in: in})
		return
	}
	s.delete(s.version(at), func(done bool) {
		if done {
			s.State.Begin()
			s.send(value)
		}
	})
}

// delete sends a request that deletes the version v of the key. It calls the function then with
// true after the deletion is confirmed, and with false if its outcome stays unknown.
func (s *modelSession) delete(v Version, then func(done bool)) {
	st := &s.m.store
	apply := func() {
		if st.there && st.Create == v.Create && (v.Mod == 0 || v.Mod == st.Mod) {
			st.there = false
		}
	}
	s.requests = append(s.requests, func() {
		if s.m.rng.IntN(4) == 0 {
			s.m.late = append(s.m.late, apply)
			then(false)
			return
		}
		apply()
		s.answers = append(s.answers, func() {
			s.State.Deleted(v)
			then(true)
		})
	})
}

// unlock deletes the key that a user holds. All users of this incarnation of the key lose it, those
// of other sessions too, because all sessions on one lease share the key.
func (s *modelSession) unlock(in *Incarnation) {
	for _, other := range s.m.sessions {
		for _, u := range other.users {
			u.unlocked = u.unlocked || u.in.Create == in.Create
		}
	}
	s.m.unlocks = append(s.m.unlocks, unlock{s, in.Create})
	in.End()
	st := &s.m.store
	apply := func() {
		if st.there && st.Create == in.Create {
			st.there = false
		}
	}
	s.requests = append(s.requests, func() {
		switch s.m.rng.IntN(4) {
		case 0:
			s.m.late = append(s.m.late, apply)
			s.State.Delete(in)
		case 1:
			apply()
			s.State.Delete(in)
		default:
			apply()
			s.answers = append(s.answers, func() { s.State.Deleted(in.Version) })
		}
	})
}

// look reads the key for clean-up.
func (s *modelSession) look() {
	st := s.m.store
	s.answers = append(s.answers, func() {
		if st.there {
			s.State.Saw(s.version(st.Version), st.value)
		} else {
			s.State.SawNone()
		}
	})
}

func (s *modelSession) clean() {
	if in := s.State.ToDelete(); in != nil {
		s.delete(in.Version, func(bool) {})
	}
}

// leave removes a random user of the session. It returns the incarnation of the key that the user
// had, or nil if the session has no user.
func (s *modelSession) leave() *Incarnation {
	if len(s.users) == 0 {
		return nil
	}
	i := s.m.rng.IntN(len(s.users))
	in := s.users[i].in
	s.users = slices.Delete(s.users, i, i+1)
	return in
}

// take removes a random function from list and returns it. If list is empty, it returns a function
// that does nothing.
func take(rng *rand.Rand, list *[]func()) func() {
	if len(*list) == 0 {
		return func() {}
	}
	i := rng.IntN(len(*list))
	f := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return f
}

func (m *model) step(calls bool) {
	s := m.sessions[m.rng.IntN(len(m.sessions))]
	switch m.rng.IntN(13) {
	case 0, 10:
		if calls {
			s.put()
		}
	case 1, 2, 11:
		take(m.rng, &s.requests)()
	case 3, 4, 12:
		take(m.rng, &s.answers)()
	case 5:
		take(m.rng, &m.late)()
	case 6:
		if in := s.leave(); in != nil {
			s.State.Release(in)
		}
	case 7:
		if in := s.leave(); in != nil && m.rng.IntN(2) == 0 {
			s.unlock(in)
		} else if in != nil {
			s.State.Release(in)
		}
	case 8:
		s.look()
	case 9:
		if m.rng.IntN(100) == 0 {
			s.State.GiveUp()
			m.gaveUp = true
		}
		s.clean()
		if s.nonce == "" && len(s.users) > 0 && m.store.there && m.rng.IntN(2) == 0 {
			m.proclaim(s)
		}
	}
	m.check()
}

// proclaim changes the value of the key, as a leader's Proclaim does, if a user of the session s
// holds the key.
func (m *model) proclaim(s *modelSession) {
	for _, u := range s.users {
		if u.in.Create == m.store.Create {
			m.store.put(s.value())
			return
		}
	}
}

func (m *model) check() {
	for _, s := range m.sessions {
		uncertain := 0
		for _, n := range s.State.uncertain {
			uncertain += n
		}
		require.True(m.t, uncertain >= s.lost || m.gaveUp,
			"clean-up does not look for a put that may still be applied")
		for _, u := range s.users {
			byOther := func(o unlock) bool { return o.by != s && o.create == u.in.Create }
			if u.unlocked || slices.ContainsFunc(m.unlocks, byOther) {
				continue
			}
			require.True(m.t, m.store.there && m.store.Create == u.in.Create,
				"session %q has users of %+v, and the store has %+v", s.name, u.in, m.store)
		}
	}
}

// finish lets all calls end. Then it lets clean-up delete the keys that are left.
func (m *model) finish() {
	busy := func(s *modelSession) bool {
		return len(s.requests) > 0 || len(s.answers) > 0 || len(s.users) > 0
	}
	for slices.ContainsFunc(m.sessions, busy) || len(m.late) > 0 {
		m.step(false)
	}
	for range 10 {
		for _, s := range m.sessions {
			s.look()
			s.clean()
			for busy(s) || len(m.late) > 0 {
				take(m.rng, &s.requests)()
				take(m.rng, &s.answers)()
				take(m.rng, &m.late)()
				m.check()
			}
		}
	}
}

// TestAnyHistory runs random histories. Only Unlock deletes a key that a session still uses. In the
// end, no key is left that a session created and no session uses.
func TestAnyHistory(t *testing.T) {
	for name, nonces := range map[string][]string{
		"mutex": {"a"}, "mutexes on one lease": {"a", "b"}, "candidate": {""},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			for range 2000 {
				m := newModel(t, rng, nonces...)
				for range 100 {
					m.step(true)
				}
				m.finish()
				for _, s := range m.sessions {
					require.Zero(t, s.State.puts)
					require.Zero(t, s.State.Users(), "%+v", s.State.current)
					require.Nil(t, s.State.ToDelete())
				}
				if m.gaveUp {
					continue
				}
				if len(nonces) == 1 {
					require.False(t, m.store.there, "%+v was left behind", m.store)
				} else if m.store.there && !m.lostMark {
					require.Contains(t, m.store.value, "/found", "it was left behind")
				}
			}
		})
	}
}
