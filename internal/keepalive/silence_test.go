package keepalive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestWithoutAnAnswerForTheTTLTheSubscribersClose(t *testing.T) {
	for _, ttl := range []int64{2, 5, 60, year} {
		for _, connected := range []bool{true, false} {
			s := newSim(t)
			s.connect()
			s.grant(ttl)
			_, p := s.keep(1, false)
			s.wait(s.latency) // the first renewal is answered
			s.mute()
			if !connected {
				s.cut()
			}
			s.wait(seconds(ttl) - time.Millisecond)
			assert.Empty(t, p.closed, "ttl %d", ttl)
			s.wait(time.Millisecond)
			assert.Equal(t, []error{errExpired}, p.closed, "ttl %d", ttl)
			assert.Empty(t, s.byID)
			s.check()
		}
	}
}

func TestBeforeTheFirstAnswerTheFirstTimeoutCounts(t *testing.T) {
	for _, connected := range []bool{true, false} {
		s := newSim(t)
		if connected {
			s.connect()
		}
		_, p := s.keep(1, false)
		s.wait(firstTimeout - 1)
		assert.Empty(t, p.closed)
		s.wait(1)
		assert.Equal(t, []error{errExpired}, p.closed)
	}
}

func TestMuteServerSeesOneRequestPerLeaseAndThird(t *testing.T) {
	const ttl, leases = 12, 10
	s := newSim(t)
	s.connect()
	s.grant(ttl)
	for id := range int64(leases) {
		s.keep(id, false)
	}
	s.wait(time.Second)
	s.mute()
	s.sent = nil
	s.wait(10 * time.Second)
	for id := range int64(leases) {
		at := s.sends(id)
		assert.LessOrEqual(t, len(at), 10*3/ttl+1)
		for i := range at[min(1, len(at)):] {
			assert.GreaterOrEqual(t, at[i+1]-at[i], seconds(ttl)/3*9/10)
		}
	}
}

func TestSilenceMovesTheStreamAndSavesTheLeases(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(5)
	var probes []*probe
	for id := range int64(200) {
		_, p := s.keep(id, false)
		probes = append(probes, p)
		s.wait(7 * time.Millisecond)
	}
	s.wait(20 * time.Second)
	assert.Empty(t, s.moves)

	s.mute()
	s.replies = nil
	s.sent = nil
	for len(s.moves) == 0 {
		s.wait(time.Millisecond)
	}
	s.grant(5) // the server of the next stream answers
	assert.LessOrEqual(t, s.moves[0]-s.sent[0].at, 5*time.Second/3+50*time.Millisecond,
		"after the first request that is not answered")
	s.cut()
	s.sent = nil
	s.connect()
	for i := range s.sent[1:] {
		a, b := s.byID[s.sent[i].id], s.byID[s.sent[i+1].id]
		assert.LessOrEqual(t, a.expiry, b.expiry, "the nearest to expiry first")
	}
	s.wait(20 * time.Second)
	for _, p := range probes {
		assert.Empty(t, p.closed)
	}
	assert.Len(t, s.moves, 1)
}

func TestStallTimeoutIsAtLeastHalfASecond(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(1)
	s.keep(1, false)
	s.wait(s.latency)
	s.mute()
	s.wait(s.next() + minStallTimeout - 2*s.latency)
	assert.Empty(t, s.moves)
	s.wait(2 * s.latency)
	assert.Len(t, s.moves, 1)
}

func TestABusyStreamIsNotStalled(t *testing.T) {
	s := newSim(t)
	s.connect()
	_, p := s.keep(1, false)
	for i := range int64(50) { // answers for other leases still arrive
		s.wait(100 * time.Millisecond)
		s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 100 + i, TTL: 5})
	}
	assert.Empty(t, s.moves)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 5})
	assert.Len(t, p.got, 1)
}

func TestHostileAnswersAreHarmless(t *testing.T) {
	s := newSim(t)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 5}) // before anything was asked
	s.connect()
	_, p := s.keep(1, false)
	s.wait(time.Second)
	for range 3 { // more answers than requests
		s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 1 << 62})
		s.check()
	}
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: -7, TTL: -1 << 63})
	s.received(s.now, &pb.LeaseKeepAliveResponse{})
	assert.Len(t, p.got, 3)
	assert.Empty(t, p.closed)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: -1 << 63})
	assert.Equal(t, []error{errGone}, p.closed)
	s.check()
}

// TestPausesDoNotUseUpTheTTL: on a busy machine the process is paused again and again. A silent
// stream still moves to another member before its leases expire.
func TestPausesDoNotUseUpTheTTL(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(5)
	_, p := s.keep(1, false)
	s.wait(s.latency)
	s.mute()
	s.sent = nil
	for len(s.sent) == 0 {
		s.wait(time.Millisecond)
	}
	s.wait(5*time.Second/3 - 100*time.Millisecond)
	s.now += 600 * time.Millisecond // a pause
	s.resumed = s.now
	s.wait(minStallTimeout - time.Millisecond)
	assert.Empty(t, s.moves, "there is time to read an answer")
	s.wait(time.Millisecond)
	assert.Len(t, s.moves, 1)
	assert.Empty(t, p.closed)
}

// TestPausedProcessReadsBeforeItJudges: answers that came while the process was not scheduled
// count, although the timer fires before they are read. If the timer fires late, the keeper first
// reads answers for 100 ms.
func TestPausedProcessReadsBeforeItJudges(t *testing.T) {
	keepers(t, func(k *Keeper, c *cluster) {
		s := keep(t, k, bg, 1, false)
		assert.EqualValues(t, 9, (<-s.ch).TTL)
		c.set(func() { c.ttl = 0 })
		time.Sleep(3200 * time.Millisecond) // the next renewal is sent, after 3 s, and not answered
		k.mu.Lock()
		next := k.armed - k.now()
		k.start = k.start.Add(-5 * time.Second) // as after a pause of the process
		k.mu.Unlock()
		time.Sleep(next + catchUp/2) // the timer has fired, more than the TTL after the last answer
		c.set(func() {
			c.ttl = 9
			c.stream.resp <- &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9}
		})
		time.Sleep(20 * time.Second)
		assert.True(t, s.open())
		dials, _ := c.count()
		assert.Equal(t, 1, dials, "the stream is the same")
	})
}
