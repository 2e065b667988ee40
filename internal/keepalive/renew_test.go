package keepalive

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const year = 365 * 24 * 3600

func TestRenewsEveryThirdOfTheGrantedTTL(t *testing.T) {
	for _, ttl := range []int64{2, 3, 5, 60, 3600, year} {
		t.Run(fmt.Sprint(ttl), func(t *testing.T) {
			s := newSim(t)
			s.grant(ttl)
			s.connect()
			_, p := s.keep(1, false)
			p.full = true // the channel is not drained
			s.wait(10 * seconds(ttl))

			at := s.sends(1)
			require.Zero(t, at[0], "the first renewal goes out at once")
			third := float64(seconds(ttl)) / 3
			for i := range at[1:] {
				assert.InDelta(t, third, at[i+1]-at[i], 0.05*third+float64(s.latency))
			}
			assert.InDelta(t, 31, len(at), 2)
			assert.InDelta(t, len(at), s.drops, 1, "the last answer may be on its way")
			assert.Empty(t, p.closed)
		})
	}
}

func TestFollowsTheTTLThatTheServerGrants(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(9)
	_, p := s.keep(1, false)
	s.wait(10 * time.Second)
	s.grant(90)
	s.wait(4 * time.Second)
	before := len(s.sends(1))
	s.wait(60 * time.Second)
	assert.InDelta(t, 2, len(s.sends(1))-before, 1, "30 s apart")
	s.mute()
	s.wait(55 * time.Second)
	assert.Empty(t, p.closed, "90 s have not passed since the last answer")
	s.wait(36 * time.Second)
	assert.Equal(t, []error{errExpired}, p.closed)
}

// TestSlowAnswersDelayNothingButTheirOwnLease: each answer takes more than a third of the TTL, but
// the stream does not move to another server. The stall timeout is at least twice the typical
// latency. Otherwise the stream would move each time just before the answer comes, until the lease
// is lost.
func TestSlowAnswersDelayNothingButTheirOwnLease(t *testing.T) {
	s := newSim(t)
	s.grant(3)
	s.latency = 1500 * time.Millisecond
	s.connect()
	_, p := s.keep(1, false)
	s.wait(31 * time.Second)
	assert.InDelta(t, 20, len(p.got), 2, "asked again as soon as the late answer is there")
	assert.Empty(t, p.closed)
	assert.Empty(t, s.moves, "a server that is always slow is not run away from")
}

func TestTTLsThatOverflowAreClamped(t *testing.T) {
	for _, ttl := range []int64{9_000_000_000, 9_223_372_036, 9_223_372_037, math.MaxInt64} {
		s := newSim(t)
		s.now = 20 * year * time.Second // the keeper has run for twenty years
		s.grant(ttl)
		s.connect()
		_, p := s.keep(1, false)
		s.wait(time.Hour)
		assert.Len(t, s.sent, 1, "ttl %d", ttl)
		assert.Len(t, p.got, 1)
		assert.Empty(t, p.closed)
		assert.Greater(t, s.next(), s.now)
	}
}

func TestLeasesCreatedTogetherDriftApart(t *testing.T) {
	const leases, ttl, rounds = 500, 9, 200
	s := newSim(t)
	s.grant(ttl)
	s.connect()
	for id := range int64(leases) {
		s.keep(id, false)
	}
	s.wait(rounds * 3 * time.Second)
	from := len(s.sent)
	s.wait(3 * time.Second)
	var slots [10]int
	for _, r := range s.sent[from:] {
		slots[int(r.at/(300*time.Millisecond))%10]++
	}
	for i, n := range slots {
		assert.InDelta(t, leases/10, n, leases/10, "tenth %d of an interval: %v", i, slots)
	}
}

func TestManyLeasesForTenTTLs(t *testing.T) {
	const leases, ttl = 10_000, 10
	s := newSim(t)
	s.connect()
	sent := 0
	s.answer = func(id int64) *pb.LeaseKeepAliveResponse {
		sent++
		s.sent = s.sent[:0]
		return &pb.LeaseKeepAliveResponse{ID: id, TTL: ttl}
	}
	probes := make([]*probe, leases)
	for id := range probes {
		_, probes[id] = s.keep(int64(id), false)
		probes[id].full = true
	}
	s.wait(10 * ttl * time.Second)
	for id, p := range probes {
		require.Empty(t, p.closed, "lease %d", id)
	}
	assert.InEpsilon(t, leases*31, sent, 0.05)
	assert.Empty(t, s.moves)
	s.check()
}

func TestReconnectAsksTheNearestToExpiryFirst(t *testing.T) {
	s := newSim(t)
	s.connect()
	for id, ttl := range map[int64]int64{1: 50, 2: 40, 3: 30, 4: 20, 5: 1000} {
		s.grant(ttl)
		s.keep(id, false)
		s.wait(10 * time.Millisecond)
	}
	s.wait(time.Millisecond)
	s.cut()
	s.wait(18 * time.Second)
	s.sent = nil
	s.connect()
	var order []int64
	for _, r := range s.sent {
		order = append(order, r.id)
	}
	assert.Equal(t, []int64{4, 3, 2, 1}, order, "and not 5, which is not due")
	s.check()
}

func TestReconnectRepeatsWhatWasInFlight(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.keep(1, false)
	require.Len(t, s.sends(1), 1)
	s.cut()
	s.wait(time.Second)
	require.Len(t, s.sends(1), 1, "nothing is sent while there is no stream")
	s.grant(5)
	s.connect()
	assert.Equal(t, []instant{0, time.Second}, s.sends(1))
	s.check()
}
