package memberhealth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestDeadConnectionWithoutPeers: if there is only one member, or no member answers, a silent
// member is probed after ten seconds. If its probe stays unanswered, the member is ejected after
// another five. Both happen only while a request waits for it.
func TestDeadConnectionWithoutPeers(t *testing.T) {
	mute := act{waiting: 1, noProbes: true}
	for name, tc := range map[string]struct {
		acts []act
		want []string
	}{
		"lone":            {[]act{mute}, []string{"10.1s probe m0", "15.1s eject m0"}},
		"answers probes":  {[]act{{waiting: 1}}, []string{"10.1s probe m0", "20.2s probe m0"}},
		"nothing pending": {[]act{{noProbes: true}}, nil},
		"receives pieces": {[]act{{waiting: 1, receives: true, noProbes: true}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, tc.acts...)
			p.run(25 * time.Second)
			var got []string
			for _, line := range p.log {
				if strings.Contains(line, "probe") || strings.Contains(line, "eject m") {
					got = append(got, line)
				}
			}
			assert.Equal(t, tc.want, got)
		})
	}
	p := newPlay(t, mute, mute, mute)
	p.run(16 * time.Second)
	for _, m := range p.members {
		assert.Equal(t, Ejected, m.rec.health, "all silent")
	}
}

// TestDeadConnectionOfAStream: a stream that waits for its silent member does not count as a
// request, but the member is probed. The member, the only one, does not answer and is ejected.
func TestDeadConnectionOfAStream(t *testing.T) {
	p := newPlay(t, act{noProbes: true})
	p.run(time.Second)
	p.members[0].rec.streamWaiting = true
	p.run(16 * time.Second)
	assert.Equal(t, Ejected, p.members[0].rec.health)
	p.members[0].Reset(time.Now())
	p.run(20 * time.Second)
	assert.Equal(t, Healthy, p.members[0].rec.health, "a new connection starts afresh")
}

// TestPauseWhileASilentMemberIsJudged: a silent member and its idle peer are probed, and only the
// peer answers. Then the process does not run for a moment. The pause must not delay the ejection
// of the silent member until its probe times out, because reads wait for the member until then.
func TestPauseWhileASilentMemberIsJudged(t *testing.T) {
	p := newPlay(t, idle, silent)
	p.run(300 * time.Millisecond)
	assert.Contains(t, strings.Join(p.log, "\n"), "probe m0")
	p.acts[0] = act{bytes: 100} // the answer to the probe
	p.run(TickPeriod)
	p.acts[0] = idle
	p.run(3 * TickPeriod)
	const pause = 250 * time.Millisecond
	p.now = p.now.Add(pause)
	for _, m := range p.members {
		m.Pause(pause, p.now)
	}
	p.run(time.Second)
	assert.Contains(t, strings.Join(p.log, "\n"), "eject m1")
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject m0")
}

// TestPauseAfterAnAnswer: after a probe, the client receives something else from the member, and
// then the process does not run for a moment. The member is not silent, although its probe is still
// unanswered.
func TestPauseAfterAnAnswer(t *testing.T) {
	oneSilent := act{waiting: 1, noProbes: true}
	p := newPlay(t, quick, oneSilent)
	p.run(400 * time.Millisecond)
	assert.Contains(t, strings.Join(p.log, "\n"), "probe m1")
	p.acts[1] = act{waiting: 1, receives: true, noProbes: true}
	p.run(TickPeriod)
	p.acts[1] = oneSilent
	const pause = 2 * time.Second
	p.now = p.now.Add(pause)
	for _, m := range p.members {
		m.Pause(pause, p.now)
	}
	p.run(600 * time.Millisecond)
	assert.NotContains(t, strings.Join(p.log, "\n"), "eject")
}
