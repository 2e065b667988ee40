package watchmux

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestMoreNoticesOnTheirWayThanAServerQueues: the answers to more requests than a server can have
// in its queue are counted all the same, so that the last of them move no younger watch.
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
