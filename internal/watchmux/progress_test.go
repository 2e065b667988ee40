package watchmux

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestMoreNoticesOnTheirWayThanAServerQueues: a server can queue a limited number of notices, and
// more requests than that may be unanswered. They are all counted, so the last notices move no
// younger watch either. See also testdata/progress_lost.txt: a notice is held back only from the
// watches for which it may be wrong.
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
