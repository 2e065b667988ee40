package keepalive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestOneAnswerShowsThatALeaseIsGone: a lease is closed by the one answer to its request. No second
// answer to that request is waited for.
func TestOneAnswerShowsThatALeaseIsGone(t *testing.T) {
	s := newSim(t)
	s.connect()
	for id := range int64(3) {
		_, p := s.keep(id, false)
		s.received(s.now, &pb.LeaseKeepAliveResponse{ID: id})
		assert.Equal(t, []error{errGone}, p.closed)
	}
	assert.Empty(t, s.late, "nothing is to be remembered of them")

	_, denied := s.keep(9, false)
	s.wait(time.Millisecond)
	s.removeOldest(errLeft)
	assert.Equal(t, []error{errLeft}, denied.closed, "it is the only one asked for")
	s.check()
}
