package keepalive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestAnswersTellWhenTheirRequestWasSent: each answer comes with the time at which its request was
// sent, even if the answer takes long or the sink has no room for it.
func TestAnswersTellWhenTheirRequestWasSent(t *testing.T) {
	s := newSim(t)
	s.start = time.Now()
	s.grant(9)
	s.latency = 700 * time.Millisecond
	s.connect()
	_, p := s.keep(1, false)
	p.full = true
	s.wait(30 * time.Second)
	sends := s.sends(1)
	require.GreaterOrEqual(t, len(p.sent), 9)
	for i, sent := range p.sent {
		require.Equal(t, sends[i], sent.Sub(s.start))
	}
}

// TestLateAnswersTellNoTime: an answer to a request that was given up says nothing
// about when the request after it was sent.
func TestLateAnswersTellNoTime(t *testing.T) {
	s := newSim(t)
	s.start = time.Now()
	s.connect()
	_, first := s.keep(1, false)
	s.wait(time.Second)
	s.remove(1, errGone) // the request is still in flight
	require.Equal(t, []error{errGone}, first.closed)
	_, p := s.keep(1, false)
	require.Len(t, s.sends(1), 2)

	s.wait(100 * time.Millisecond)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9})
	require.True(t, p.sent[0].IsZero())
	s.wait(100 * time.Millisecond)
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9})
	require.Equal(t, s.sends(1)[1], p.sent[1].Sub(s.start))
	s.check()

	// A new stream carries no late answers to requests of the stream before it.
	s.mute()
	s.wait(4 * time.Second) // the next renewal is in flight
	s.remove(1, errGone)
	s.cut()
	_, p = s.keep(1, false)
	s.connect()
	s.received(s.now, &pb.LeaseKeepAliveResponse{ID: 1, TTL: 9})
	require.False(t, p.sent[0].IsZero())
	require.Empty(t, s.late)
}
