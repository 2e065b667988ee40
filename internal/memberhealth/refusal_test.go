package memberhealth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// refuser answers every request at once with a refusal.
var refuser = act{answers: 500, refuses: 500, receives: true}

// TestRefusalsAreNoQuickness: a member refuses every request at once, while its peers take longer
// to answer. The member becomes slow, and its peers do not.
func TestRefusalsAreNoQuickness(t *testing.T) {
	steady := act{waiting: 8, answers: 10, receives: true} // 80 ms an answer
	p := newPlay(t, steady, steady, steady)
	p.run(2 * time.Second)
	p.acts[0] = refuser
	p.run(2 * time.Second)
	assert.Equal(t, []string{"1", "∞", "∞"}, p.limits())
	p.acts[0] = act{answers: 1, refuses: 1, receives: true}
	p.run(20 * time.Second)
	assert.Equal(t, []string{"1", "∞", "∞"}, p.limits(), "as long as it refuses")
	p.acts[0] = act{answers: 1, receives: true}
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
}

// TestAllRefuseAlike: without a leader all members refuse, and the client avoids no member.
func TestAllRefuseAlike(t *testing.T) {
	p := newPlay(t, quick, quick, quick)
	p.run(2 * time.Second)
	p.acts = []act{refuser, refuser, refuser}
	p.run(10 * time.Minute)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
	p.acts = []act{quick, quick, quick}
	p.run(10 * time.Second)
	assert.Empty(t, p.log)
}
