package memberhealth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// stuck is what a stuck member does: it is alive, but answers no request.
var stuck = act{waiting: 12, receives: true}

// TestStuckMemberIsEjected: a member that is alive and answers no request, for example while it
// defragments, is ejected after a second, although it answers health checks. After a new connection
// it gets one request at a time, until it answers one. If it does not answer, it is ejected again.
func TestStuckMemberIsEjected(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts[1] = stuck
	p.run(1300 * time.Millisecond)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
	assert.Contains(t, p.log, "3.1s eject m1")

	p.members[1].Reset(time.Now()) // as after a new connection
	p.acts[1] = act{waiting: 1, receives: true}
	p.run(500 * time.Millisecond)
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits(), "one request suffices now")

	p.members[1].Reset(time.Now())
	p.acts[1] = act{answers: 1, receives: true}
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
	p.acts[1] = act{waiting: 3, receives: true}
	p.run(5 * time.Second)
	assert.Equal(t, 2, strings.Count(strings.Join(p.log, "\n"), "eject "), "trusted again: %v",
		p.log)
}

// TestWhoIsNotStuck shows members that answer nothing for a while, but are not ejected as stuck.
func TestWhoIsNotStuck(t *testing.T) {
	for name, acts := range map[string][]act{
		"large answers":      {quick, {waiting: 12, bytes: 100 << 10}, quick},
		"long requests":      {quick, {waiting: stuckLoad - 1, receives: true}, quick},
		"many long requests": {quick, {waiting: 18, reads: true}, quick},
		"peers that write": {{waiting: 5, answers: 100, receives: true, writes: true}, stuck,
			idle},
		"an election":   {stuck, stuck, stuck},
		"no quick peer": {late, stuck, late},
		"peers idle":    {idle, stuck, idle},
		"no peer":       {stuck},
		"few requests":  {{waiting: 1, answers: 0, receives: true}, stuck, idle},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, acts...)
			p.run(20 * time.Second)
			assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
		})
	}
	p := newPlay(t, quick, stuck, quick)
	p.members[1].closable.Store(false) // the owner cannot close the member's connection
	p.run(20 * time.Second)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
}

// TestAnElectionUnderLoad: no member answers anything during an election, and no member is ejected.
// The silence of one member is not compared with what its peers answered before the election.
func TestAnElectionUnderLoad(t *testing.T) {
	for _, answers := range []uint64{2, 100, 500, 2000} { // answers per tick
		for _, alive := range []bool{false, true} {
			normal := act{waiting: 5, answers: answers, receives: true}
			stalled := act{waiting: 5, receives: alive}
			p := newPlay(t, normal, normal, normal)
			p.run(2 * time.Second)
			p.acts = []act{stalled, stalled, stalled}
			p.run(3 * time.Second)
			p.acts[0] = normal // the first member that learns of the new leader
			p.run(500 * time.Millisecond)
			p.acts = []act{normal, normal, normal}
			p.run(2 * time.Second)
			assert.NotContains(t, strings.Join(p.log, "\n"), "eject", "%d answers, receives: %v",
				answers, alive)
		}
	}
}

// TestStuckSinceAnElection: all members are stuck during an election, and one of them stays stuck.
// It is ejected a second or so after its peers answer again.
func TestStuckSinceAnElection(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts = []act{stuck, stuck, stuck}
	p.run(2 * time.Second)
	p.acts[0], p.acts[2] = quick, quick
	p.run(1500 * time.Millisecond)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
}

// TestStuckMemberKeepsItsWrites: a stuck member is not ejected while only writes wait for it. The
// member may still answer the writes, and they cannot be sent to a peer. When a read waits for it
// too, the member is ejected.
func TestStuckMemberKeepsItsWrites(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts[1] = act{waiting: 12, writes: true, receives: true}
	p.run(5 * time.Second)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
	p.acts[1] = stuck
	p.run(time.Second)
	assert.Contains(t, strings.Join(p.log, "\n"), "eject m1")
}

// TestMostMembersAreStuck: two of three members answer nothing. Both are ejected, because the third
// member answers.
func TestMostMembersAreStuck(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts[1], p.acts[2] = stuck, stuck
	p.run(1500 * time.Millisecond)
	assert.Equal(t, []string{"∞", "0", "0"}, p.limits())
}
