package memberhealth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// play calls [Decide] tick by tick, with simulated members.
type play struct {
	t       *testing.T
	now     time.Time
	members []*Member
	acts    []act
	log     []string // what Decide returned, each entry with the time since the start
	start   time.Time
}

// act is what a member does in each tick.
type act struct {
	waiting  int64  // requests that wait for its answer
	answers  uint64 // requests that it answers
	receives bool   // its connection receives something
	noProbes bool   // it does not answer probes
	bytes    uint64 // further bytes that its connection receives
	refuses  uint64 // of the answers, how many are refusals
	writes   bool   // the requests are writes
	reads    bool   // it answers a test read, by which the client asks whether a member is stuck
}

var (
	quick      = act{waiting: 5, answers: 100, receives: true} // 5 ms an answer
	silent     = act{waiting: 5, noProbes: true}
	busy       = act{waiting: 1}                             // answers probes, not its long request
	late       = act{waiting: 5, answers: 1, receives: true} // 500 ms an answer
	idle       = act{}
	idleSilent = act{noProbes: true} // idle and silent
)

func newPlay(t *testing.T, acts ...act) *play {
	p := &play{t: t, now: time.Unix(1000, 0), acts: acts}
	p.start = p.now
	for range acts {
		m := New()
		m.SetClosable()
		p.members = append(p.members, m)
	}
	return p
}

// run lets the time d pass, tick by tick.
func (p *play) run(d time.Duration) {
	for range d / TickPeriod {
		p.now = p.now.Add(TickPeriod)
		for i, m := range p.members {
			a := p.acts[i]
			m.answered.Add(a.answers)
			if !a.writes {
				m.movableAnswered.Add(a.answers - a.refuses)
			}
			m.refused.Add(a.refuses)
			if a.receives {
				m.received.Add(1)
			}
			m.received.Add(a.bytes)
			movable := a.waiting
			if a.writes {
				movable = 0
			}
			m.rec.observe(sample{outstanding: a.waiting, movable: movable,
				answered: m.answered.Load(), movableAnswered: m.movableAnswered.Load(),
				refused: m.refused.Load(), received: m.received.Load()}, p.now, TickPeriod)
		}
		d := Decide(p.members, p.now, true)
		p.note("probe", d.Probe)
		p.note("eject", d.Eject)
		for _, m := range d.Read {
			if p.acts[p.index(m)].reads {
				m.AnswerRead(true, false, p.now.Add(time.Millisecond))
			}
		}
		for _, m := range d.Changed {
			p.log = append(p.log, fmt.Sprint(p.now.Sub(p.start), " m", p.index(m), " ",
				m.rec.health))
		}
		for _, m := range d.Probe {
			if i := p.index(m); !p.acts[i].noProbes {
				m.AnswerProbe(true, p.now.Add(time.Millisecond))
				SetLimits(p.members)
			}
		}
	}
}

func (p *play) index(m *Member) int {
	for i, x := range p.members {
		if x == m {
			return i
		}
	}
	p.t.Fatal("unknown member")
	return -1
}

func (p *play) note(what string, members []*Member) {
	for _, m := range members {
		p.log = append(p.log, fmt.Sprint(p.now.Sub(p.start), " ", what, " m", p.index(m)))
	}
}

func (p *play) limits() (out []string) {
	for _, m := range p.members {
		switch l := m.limit.Load(); l {
		case Unlimited:
			out = append(out, "∞")
		default:
			out = append(out, fmt.Sprint(l))
		}
	}
	return out
}

func TestSilentMemberIsSuspectThenEjected(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(time.Second)
	p.acts[1] = silent
	p.run(400 * time.Millisecond)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits(), "spared soon")
	p.run(time.Second)
	assert.Equal(t, []string{"1.3s probe m1", "1.3s m1 suspect", "2s eject m1", "2s m1 ejected"},
		p.log)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
	p.members[1].Reset(time.Now()) // a new connection
	p.acts[1] = quick
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
	assert.Equal(t, "2.5s m1 healthy", p.log[4])
}

// TestMostMembersSilentAreEjected: two of three members go silent at once, whatever the traffic was
// before. Their silence must not raise the typical latency, and with it the stall timeout, faster
// than time passes.
func TestMostMembersSilentAreEjected(t *testing.T) {
	for name, before := range map[string]act{
		"quick":  quick,
		"sparse": {waiting: 1, answers: 2, receives: true},
		"idle":   idle,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, before, before, before)
			p.run(2 * time.Second)
			p.acts[1], p.acts[2] = silent, silent
			p.run(1500 * time.Millisecond)
			assert.Equal(t, []string{"∞", "0", "0"}, p.limits())
			log := strings.Join(p.log, "\n")
			assert.Contains(t, log, "eject m1")
			assert.Contains(t, log, "eject m2")
			assert.NotContains(t, log, "eject m0")
		})
	}
}

// TestSilentMemberKeepsItsWrites: a silent member is not ejected while only writes wait for it. The
// member may still answer the writes, and they cannot be sent to a peer. The member is ejected when
// a read or a stream waits for it too, or when no write waits any more.
func TestSilentMemberKeepsItsWrites(t *testing.T) {
	writes := act{waiting: 3, writes: true, noProbes: true}
	for name, then := range map[string]func(p *play){
		"a read waits":       func(p *play) { p.acts[1] = silent },
		"a stream waits":     func(p *play) { p.members[1].rec.streamWaiting = true },
		"they have given up": func(p *play) { p.acts[1] = idleSilent },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, quick, quick, quick)
			p.run(time.Second)
			p.acts[1] = writes
			p.run(4 * time.Second)
			assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
			assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
			then(p)
			p.run(time.Second)
			assert.Contains(t, strings.Join(p.log, "\n"), "eject m1")
		})
	}
	p := newPlay(t, quick, quick, quick)
	p.acts[1] = writes
	p.run(4 * time.Second)
	p.acts[1] = quick
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits(), "it was stopped for a while")
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
}

// TestUntrackedMemberIsNotEjected: a silent member whose connection the owner cannot close is not
// ejected. The member gets no requests until it sends something.
func TestUntrackedMemberIsNotEjected(t *testing.T) {
	p := newPlay(t, quick, silent, quick)
	p.members[1].closable.Store(false)
	p.run(3 * time.Second)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
	p.acts[1] = quick
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
}

// TestPauseOfAMember: a member that is not scheduled for most of a second, as on an overloaded
// machine, keeps its connection and is not called slow. Closing the connection would fail the
// writes under way on it.
func TestPauseOfAMember(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(time.Second)
	p.acts[1] = act{waiting: 20, noProbes: true}
	p.run(900 * time.Millisecond)
	p.acts[1] = act{waiting: 5, answers: 100, receives: true}
	p.run(time.Second)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
	assert.NotContains(t, strings.Join(p.log, "\n"), "slow")
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
}

func TestLongRequestCostsOneProbe(t *testing.T) {
	p := newPlay(t, quick, quick, busy)
	p.run(10 * time.Second)
	for _, line := range p.log {
		assert.NotContains(t, line, "eject")
	}
	probes := strings.Count(strings.Join(p.log, "\n"), "probe")
	assert.LessOrEqual(t, probes, 8, "fewer and fewer: %v", p.log)
	assert.Equal(t, []string{"∞", "∞"}, p.limits()[:2])
}

func TestMembersAllSilentStayInUse(t *testing.T) {
	p := newPlay(t, silent, silent, silent)
	p.run(deadSilence)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
}

func TestElectionEjectsNoMember(t *testing.T) {
	stalled := act{waiting: 5} // requests wait everywhere, servers are alive
	p := newPlay(t, stalled, stalled, stalled)
	p.run(5 * time.Second)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
	for _, m := range p.members {
		m.rec.silentSince = time.Time{}
	}
	p.acts = []act{quick, quick, quick}
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
}

// TestIdlePeersAreProbedForComparison: a silent member is compared with its peers. If the peers
// have no requests that they could answer, they are probed.
func TestIdlePeersAreProbedForComparison(t *testing.T) {
	p := newPlay(t, idle, silent, idle)
	p.run(2 * time.Second)
	log := strings.Join(p.log, "\n")
	assert.Contains(t, log, "probe m0")
	assert.Contains(t, log, "eject m1")
	assert.NotContains(t, log, "eject m0")

	p = newPlay(t, idleSilent, silent, idleSilent)
	p.run(5 * time.Second)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject", "no member answers")
}

func TestLoneMemberIsNeverJudged(t *testing.T) {
	p := newPlay(t, silent)
	p.run(10 * time.Second)
	assert.Empty(t, p.log)
	assert.Equal(t, []string{"∞"}, p.limits())
}

// TestSlowMemberGetsWhatItAnswers: a member counts as slow when its latency has been high for a
// second. It then gets one request at a time. Many answers in one tick do not end this, because
// they may be late answers to earlier requests. A few quick answers do.
func TestSlowMemberGetsWhatItAnswers(t *testing.T) {
	p := newPlay(t, quick, late, quick)
	p.run(900 * time.Millisecond)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits(),
		"no member is slow because of one delay")
	p.run(TickPeriod)
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
	assert.Len(t, p.log, 1, "%v", p.log)
	p.acts[1] = act{waiting: 0, answers: 5, receives: true} // late answers to earlier requests
	p.run(TickPeriod)
	p.acts[1] = idle
	p.run(500 * time.Millisecond)
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits(),
		"many answers at once may be late all the same")
	p.acts[1] = act{waiting: 0, answers: 1, receives: true} // quick answers to few requests
	p.run(500 * time.Millisecond)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits(), "quick again")
}

func TestSlowClusterEjectsNoMember(t *testing.T) {
	p := newPlay(t, late, late, late)
	p.run(10 * time.Second)
	assert.Empty(t, p.log)
}

func TestHealthyNoiseChangesNoHealth(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	r := rand.New(rand.NewPCG(1, 2))
	for range 6000 { // ten minutes
		for i := range p.acts {
			p.acts[i] = act{waiting: r.Int64N(20), answers: 50 + r.Uint64N(100), receives: true}
		}
		p.run(TickPeriod)
	}
	assert.Empty(t, p.log)
}

func TestPauseOfTheProcessBlamesNoMember(t *testing.T) {
	m := &Member{rec: record{silentSince: time.Unix(10, 0), probedAt: time.Unix(11, 0)}}
	m.Pause(5*time.Second, time.Unix(20, 0))
	assert.Equal(t, time.Unix(15, 0), m.rec.silentSince)
	assert.Equal(t, time.Unix(16, 0), m.rec.probedAt)
}

// TestAnyHistoryLeavesOneMember: whatever the members do, at least one of them may get requests.
func TestAnyHistoryLeavesOneMember(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		all := []act{quick, silent, busy, late, idle, idleSilent}
		p := newPlay(t, make([]act, 1+r.IntN(5))...)
		for range 100 {
			p.acts[r.IntN(len(p.acts))] = all[r.IntN(len(all))]
			if r.IntN(10) == 0 {
				p.members[r.IntN(len(p.members))].Reset(time.Now())
			}
			p.run(TickPeriod * time.Duration(1+r.IntN(8)))
			usable := slices.ContainsFunc(p.members, func(m *Member) bool {
				return m.limit.Load() > 0
			})
			require.True(t, usable, "seed %d", seed)
		}
	}
}
