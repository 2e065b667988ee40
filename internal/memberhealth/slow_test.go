package memberhealth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSlowMemberStaysSlow: each answer of a member takes longer than the stall timeout, so the
// member becomes suspect again and again. After each answer it is slow, not healthy. How many
// requests its peers have makes no difference.
func TestSlowMemberStaysSlow(t *testing.T) {
	for name, peer := range map[string]act{
		"quick":  quick,
		"sparse": {answers: 2, receives: true}, // so quick that ticks see no request
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, peer, late, peer)
			p.run(3 * time.Second)
			assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
			for range 5 {
				p.acts[1] = act{waiting: 1}
				p.run(4 * TickPeriod)
				assert.Equal(t, []string{"∞", "1", "∞"}, p.limits(), "a probe was answered")
				p.acts[1] = act{answers: 1, receives: true}
				p.run(TickPeriod)
				p.acts[1] = idle
				p.run(15 * TickPeriod)
				assert.Equal(t, []string{"∞", "1", "∞"}, p.limits(), "a request was answered")
			}
		})
	}
}

// TestEjectedMemberStartsSlow: a member that was ejected and is back gets one request at a time
// until it has answered some quickly, because it may be far behind its peers.
func TestEjectedMemberStartsSlow(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts[1] = silent
	p.run(2 * time.Second)
	assert.Equal(t, []string{"∞", "0", "∞"}, p.limits())
	p.members[1].Reset(time.Now())
	p.acts[1] = idle
	p.run(5 * time.Second)
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
	p.acts[1] = act{waiting: 1} // the member still catches up with its peers, and answers late
	p.run(400 * time.Millisecond)
	p.acts[1] = act{answers: 1, receives: true}
	p.run(TickPeriod)
	assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
	for range 5 {
		p.acts[1] = act{answers: 1, receives: true}
		p.run(TickPeriod)
		p.acts[1] = idle
		p.run(time.Second)
	}
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits(), "it answers quickly")
}
