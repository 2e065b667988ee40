package keepalive

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStepsFitTheTTLAndOneAnother(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{
		0:                  minStep,
		time.Second:        minStep,
		2 * time.Second:    2 * minStep,
		3 * time.Second:    4 * minStep,
		60 * time.Second:   64 * minStep,
		year * time.Second: 1 << 25 * minStep,
		seconds(maxTTL):    1 << 33 * minStep,
	} {
		assert.Equal(t, want, step(ttl), "%v", ttl)
	}
}

// busiest lets the time d pass. It returns at how many instants requests were sent meanwhile, and
// the number of requests at the busiest instant.
func (s *sim) busiest(d time.Duration) (instants, most int) {
	s.sent = nil
	s.wait(d)
	count := map[instant]int{}
	for _, r := range s.sent {
		count[r.at]++
		most = max(most, count[r.at])
	}
	return len(count), most
}

// TestLeasesGrantedTogetherShareFewInstants: 5,000 leases of 3 s are renewed at some 25 instants a
// second. Few instants save timers and writes. At most 5 % of the leases are renewed at one
// instant, because more would be a burst for the server. After an outage all leases are due at
// once. Later renewals are spread again.
func TestLeasesGrantedTogetherShareFewInstants(t *testing.T) {
	const leases, ttl = 5000, 3
	s := newSim(t)
	s.grant(ttl)
	s.connect()
	for id := range int64(leases) {
		s.keep(id, false)
	}
	spread := func() {
		for range 20 {
			instants, most := s.busiest(time.Second)
			require.LessOrEqual(t, instants, 26)
			require.LessOrEqual(t, most, leases*5/100)
			require.InEpsilon(t, leases, len(s.sent), 0.1)
		}
	}
	s.wait(20 * time.Millisecond)
	spread()

	s.cut()
	s.wait(1500 * time.Millisecond)
	s.sent = nil
	s.connect()
	require.Len(t, s.sent, leases, "all are due")
	s.wait(20 * time.Millisecond)
	spread()
	assert.Empty(t, s.moves)
	s.check()
}

// TestRenewalsAreDueAtTheEndOfAStep: a lease is renewed only at multiples of its step. The step is
// a small part of the lease's TTL. A long step is a multiple of all shorter steps, so leases with
// different TTLs can be renewed together.
func TestRenewalsAreDueAtTheEndOfAStep(t *testing.T) {
	for _, ttl := range []int64{1, 2, 3, 5, 60} {
		t.Run(fmt.Sprint(ttl), func(t *testing.T) {
			s := newSim(t)
			s.grant(ttl)
			s.now = 123456789
			s.connect()
			s.keep(1, false)
			s.wait(3 * seconds(ttl))
			for _, at := range s.sends(1)[1:] {
				assert.Zero(t, at%step(seconds(ttl)))
			}
		})
	}
}
