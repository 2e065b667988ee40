package keepalive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestGoneLeaseClosesOnlyItsOwnSubscribers(t *testing.T) {
	for _, ttl := range []int64{0, -1} {
		s := newSim(t)
		s.connect()
		s.grant(9)
		_, kept := s.keep(1, false)
		_, gone := s.keep(2, false)
		_, gone2 := s.keep(2, true)
		s.wait(time.Second)
		s.answer = func(id int64) *pb.LeaseKeepAliveResponse {
			if id == 2 {
				return &pb.LeaseKeepAliveResponse{ID: id, TTL: ttl}
			}
			return &pb.LeaseKeepAliveResponse{ID: id, TTL: 9}
		}
		s.wait(3 * time.Second)
		assert.Equal(t, []error{errGone}, gone.closed)
		assert.Equal(t, []error{errGone}, gone2.closed)
		assert.Len(t, gone.got, 1, "the answer that says so is not delivered")
		n := len(s.sends(2))
		s.wait(time.Minute)
		assert.Empty(t, kept.closed)
		assert.Len(t, s.sends(2), n, "and no longer renewed")
		s.check()
	}
}

func TestLostLeaderClosesThoseWhoRequireOne(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(9)
	_, plain := s.keep(1, false)
	_, strict := s.keep(1, true)
	_, alone := s.keep(2, true)
	s.wait(time.Second)
	s.leaderLost(errLeader)
	s.cut()
	assert.Empty(t, plain.closed)
	assert.Equal(t, []error{errLeader}, strict.closed)
	assert.Equal(t, []error{errLeader}, alone.closed)
	s.check()

	s.sent = nil
	s.connect()
	s.wait(9 * time.Second)
	assert.NotEmpty(t, s.sends(1))
	assert.Empty(t, s.sends(2))
}

func TestLeaseWithoutSubscribersIsNotRenewed(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(9)
	strictSub, strict := s.keep(1, true)
	plainSub, plain := s.keep(1, false)
	otherSub, other := s.keep(1, false)
	s.wait(time.Second)

	s.leave(plainSub, errLeft)
	assert.Equal(t, []error{errLeft}, plain.closed)
	assert.Empty(t, strict.closed)
	assert.Empty(t, other.closed)
	s.leaderLost(errLeader)
	s.leave(otherSub, errLeft)
	for _, sub := range []*Subscriber{strictSub, plainSub, otherSub} {
		s.leave(sub, errLeft) // a second leave does nothing
	}
	assert.Equal(t, []error{errLeader}, strict.closed)
	assert.Equal(t, []error{errLeft}, other.closed)

	n := len(s.sent)
	s.wait(time.Minute)
	assert.Len(t, s.sent, n)
	assert.Empty(t, s.byID)
	s.check()
}

func TestSubscribersShareRenewals(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.grant(9)
	_, first := s.keep(1, false)
	s.wait(time.Second)
	_, second := s.keep(1, false)
	s.wait(3 * time.Second)
	assert.Len(t, s.sent, 2)
	assert.Len(t, first.got, 2)
	assert.Len(t, second.got, 1)
}

// TestComingAndGoingAddsNoRequests: a request in flight stays when the last subscriber of its lease
// leaves, and its answer goes to the next subscriber. Therefore a thousand short subscriptions of
// one lease do not send a thousand requests.
func TestComingAndGoingAddsNoRequests(t *testing.T) {
	s := newSim(t)
	s.connect()
	for range 1000 {
		sub, _ := s.keep(1, false)
		s.leave(sub, errLeft)
		s.check()
	}
	assert.Len(t, s.sent, 1, "the one in flight serves the next subscriber")

	s.wait(firstTimeout - time.Millisecond)
	_, p := s.keep(1, false)
	s.wait(time.Second)
	assert.Empty(t, p.closed, "which has the first timeout to itself")
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9})
	assert.Len(t, p.got, 1)
	s.check()
}

func TestOrphanEndsWithItsStreamOrItsAnswer(t *testing.T) {
	for name, end := range map[string]func(*sim){
		"broken":   (*sim).cut,
		"answered": func(s *sim) { s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9}) },
		"gone":     func(s *sim) { s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1}) },
		"expired":  func(s *sim) { s.wait(firstTimeout) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t)
			s.connect()
			sub, _ := s.keep(1, false)
			s.leave(sub, errLeft)
			require.Len(t, s.byID, 1)
			end(s)
			assert.Empty(t, s.byID)
			assert.Empty(t, s.moves, "no subscriber waits for the answer")
			s.check()
		})
	}
}

func TestRefusalEndsTheLeaseThatWaitedLongest(t *testing.T) {
	s := newSim(t)
	s.connect()
	var probes []*probe
	for id := range int64(5) {
		_, p := s.keep(id, false)
		probes = append(probes, p)
		s.wait(time.Millisecond)
	}
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 0, TTL: 60})
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 60})
	s.removeOldest(errLeft)
	for id, p := range probes {
		if id == 2 {
			assert.Equal(t, []error{errLeft}, p.closed)
			continue
		}
		assert.Empty(t, p.closed, "lease %d", id)
	}
	s.cut()
	s.removeOldest(errLeft)
	s.check()
}

// TestRefusalOfADroppedLeaseEndsNoOther: a lease is revoked or given up while its renewal is in
// flight, and the server then refuses the stream. The refusal may be meant for that lease, so no
// other lease ends.
func TestRefusalOfADroppedLeaseEndsNoOther(t *testing.T) {
	s := newSim(t)
	s.connect()
	s.keep(1, false)
	s.wait(time.Millisecond)
	_, other := s.keep(2, false)
	s.remove(1, errLeft)
	s.removeOldest(errGone)
	assert.Empty(t, other.closed)
	s.cut()
	s.connect()
	s.removeOldest(errGone)
	assert.Equal(t, []error{errGone}, other.closed)
	s.check()

	s.keep(3, false)
	s.remove(3, errLeft)
	s.removeOldest(errGone)
}

func TestRefusalAfterReconnectFollowsTheOrderOnTheWire(t *testing.T) {
	s := newSim(t)
	probes := make([]*probe, 5)
	for id := range probes { // each lease expires earlier than the one before
		s.connect()
		s.grant(int64(100 - 10*id))
		_, probes[id] = s.keep(int64(id), false)
		s.wait(10 * time.Millisecond)
		s.cut()
	}
	s.wait(40 * time.Second)
	s.mute()
	s.sent = nil
	s.connect()
	require.Len(t, s.sent, 5)
	first := s.sent[0].id
	assert.EqualValues(t, 4, first)
	s.removeOldest(errLeft)
	assert.Equal(t, []error{errLeft}, probes[first].closed)
	s.check()
}

func TestRemoveAndClear(t *testing.T) {
	s := newSim(t)
	s.connect()
	_, a := s.keep(1, false)
	_, b := s.keep(2, false)
	_, c := s.keep(3, false)
	s.remove(1, errLeft)
	s.remove(1, errLeft)
	assert.Equal(t, []error{errLeft}, a.closed)
	s.check()
	s.clear(errLeader)
	assert.Equal(t, []error{errLeader}, b.closed)
	assert.Equal(t, []error{errLeader}, c.closed)
	assert.Len(t, a.closed, 1)
	assert.Equal(t, never, s.next())
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 2, TTL: 5})
	s.check()
}
