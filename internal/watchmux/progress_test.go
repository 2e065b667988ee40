package watchmux

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestMoreNoticesOnTheirWayThanAServerQueues: more progress requests are unanswered than a server
// can queue notices. The mux counts them all. So even the last of the notices does not move the
// start revision of watch b, which was created after the requests were sent.
func TestMoreNoticesOnTheirWayThanAServerQueues(t *testing.T) {
	s := newScript(t)
	s.run("add a")
	s.run("open")
	s.run("recv created id=0 rev=90")
	for range 3 * maxOutstanding {
		s.run("progress")
	}
	for range 2 * maxOutstanding {
		s.run("recv id=-1 rev=90")
	}
	s.run("add b rev=5")
	s.run("recv created id=1 rev=100")
	for range maxOutstanding {
		s.run("recv id=-1 rev=90")
	}
	s.log = nil
	s.run("break unavailable")
	s.run("open")
	s.run("recv created id=0 rev=100")
	assert.Equal(t, []string{"redial true", "send create a from 91", "send create b from 5"}, s.log)
}
