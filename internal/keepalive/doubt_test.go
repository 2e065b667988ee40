package keepalive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestALeaseIsGoneOnTheSecondWord: a member that has not applied the grant yet may answer the first
// renewal with "the lease is gone". Before the lease's subscribers are closed, the server is asked
// whether that is true. If an earlier renewal succeeded, the subscribers are closed at once.
func TestALeaseIsGoneOnTheSecondWord(t *testing.T) {
	for _, gone := range []bool{false, true} {
		s := newSim(t)
		s.confirms = true
		s.connect()
		_, p := s.keep(1, false)
		s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1})
		assert.Equal(t, []int64{1}, s.questions)
		assert.Empty(t, p.closed)
		s.check()
		s.wait(time.Second)
		assert.Len(t, s.sends(1), 1, "nothing is sent meanwhile")
		s.grant(9)
		s.confirmed(s.now, 1, gone, 8*time.Second)
		s.wait(time.Second)
		if gone {
			assert.Equal(t, []error{errGone}, p.closed)
		} else {
			assert.Len(t, p.got, 1)
			s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1})
			assert.Equal(t, []error{errGone}, p.closed, "it had been renewed before")
		}
		assert.Len(t, s.questions, 1)
		s.check()
	}
}

// TestADoubtWithoutAnAnswerEndsWithTheFirstTimeout: if it stays unknown whether a lease is gone,
// its subscribers are closed after firstTimeout, as if the server had not answered at all.
func TestADoubtWithoutAnAnswerEndsWithTheFirstTimeout(t *testing.T) {
	s := newSim(t)
	s.confirms = true
	s.connect()
	_, p := s.keep(1, false)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1})
	s.cut()
	s.connect()
	s.wait(firstTimeout)
	assert.Equal(t, []error{errExpired}, p.closed)
	s.confirmed(s.now, 1, false, time.Hour)
	s.check()
}

// TestAPauseIsNoAnsweringTime: an answer is read late because the process was paused. The stall
// timeout stays short, whether or not the pause was noticed.
func TestAPauseIsNoAnsweringTime(t *testing.T) {
	for _, known := range []bool{true, false} {
		s := newSim(t)
		s.connect()
		_, p := s.keep(1, false)
		s.now += 60 * time.Second
		if known {
			s.resumed = s.now
			assert.Equal(t, s.now+minStallTimeout, s.stallsAt(s.byID[1]))
		}
		s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 5})
		assert.Len(t, p.got, 1)
		if known {
			assert.Zero(t, s.typicalLatency)
		}
		assert.LessOrEqual(t, s.stallTimeout(s.byID[1]), 2*assumedTTL/renewals)
	}
}
