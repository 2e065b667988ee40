package memberhealth

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestDeadConnectionWithoutPeers: where no member answers, or there is only one, a
// connection is given up after a long silence with an unanswered probe, and only
// while an answer is owed.
func TestDeadConnectionWithoutPeers(t *testing.T) {
	mute := act{waiting: 1, noProbes: true}
	for name, tc := range map[string]struct {
		acts []act
		want []string
	}{
		"lone":            {[]act{mute}, []string{"10.1s probe m0", "15.1s eject m0"}},
		"answers probes":  {[]act{{waiting: 1}}, []string{"10.1s probe m0", "20.2s probe m0"}},
		"owes nothing":    {[]act{{noProbes: true}}, nil},
		"receives pieces": {[]act{{waiting: 1, heard: true, noProbes: true}}, nil},
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

// TestDeadConnectionOfAStream: a stream that has gone silent is not counted, but has
// members asked; the lone member that says nothing after that is given up.
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
