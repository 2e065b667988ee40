package memberhealth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSlowMemberStaysSlow: each answer of a member takes longer than the stall timeout, so it
// becomes suspect again and again. It is still slow each time it is heard, whether its peers have
// many requests or so few that most are over before a tick can count them.
func TestSlowMemberStaysSlow(t *testing.T) {
	for name, peer := range map[string]act{
		"brisk":  brisk,
		"sparse": {answers: 2, heard: true}, // so quick that ticks see no request
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, peer, laggy, peer)
			p.run(3 * time.Second)
			assert.Equal(t, []string{"∞", "1", "∞"}, p.limits())
			for range 5 {
				p.acts[1] = act{waiting: 1}
				p.run(4 * TickPeriod)
				assert.Equal(t, []string{"∞", "1", "∞"}, p.limits(), "a probe was answered")
				p.acts[1] = act{answers: 1, heard: true}
				p.run(TickPeriod)
				p.acts[1] = idle
				p.run(15 * TickPeriod)
				assert.Equal(t, []string{"∞", "1", "∞"}, p.limits(), "a request was answered")
			}
		})
	}
}
