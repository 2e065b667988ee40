package balancer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refuser answers at once, and serves nothing.
var refuser = act{answers: 500, refuses: 500, heard: true}

// TestRefusalsAreNoQuickness: a member that refuses everything at once makes no slow
// ones of its peers, who take longer. It is asked now and then itself.
func TestRefusalsAreNoQuickness(t *testing.T) {
	steady := act{waiting: 8, answers: 10, heard: true} // 80 ms an answer
	p := newPlay(t, steady, steady, steady)
	p.run(2 * time.Second)
	p.acts[0] = refuser
	p.run(2 * time.Second)
	assert.Equal(t, []string{"1", "∞", "∞"}, p.limits())
	p.acts[0] = act{answers: 1, refuses: 1, heard: true}
	p.run(20 * time.Second)
	assert.Equal(t, []string{"1", "∞", "∞"}, p.limits(), "as long as it refuses")
	p.acts[0] = act{answers: 1, heard: true}
	p.run(time.Second)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
}

// TestAllRefuseAlike: without a leader, nobody is set aside.
func TestAllRefuseAlike(t *testing.T) {
	p := newPlay(t, brisk, brisk, brisk)
	p.run(2 * time.Second)
	p.acts = []act{refuser, refuser, refuser}
	p.run(10 * time.Minute)
	assert.Equal(t, []string{"∞", "∞", "∞"}, p.limits())
	p.acts = []act{brisk, brisk, brisk}
	p.run(10 * time.Second)
	assert.Empty(t, p.log)
}

// TestRefusingMemberIsNoMeasure: that it has nothing to do does not make its peers
// too busy.
func TestRefusingMemberIsNoMeasure(t *testing.T) {
	_, p := seated(t, 3, noProbe)
	asked := func() map[string]int {
		n := map[string]int{}
		for range 30 {
			n[p.choose(true).member.address]++
		}
		return n
	}
	end := func(i int, err error) {
		m := p.seats[i].member
		m.outstanding.Add(1)
		m.done(balancer.DoneInfo{Err: err, BytesReceived: true})
	}
	p.seats[0].member.outstanding.Store(10)
	p.seats[1].member.outstanding.Store(10)
	assert.Equal(t, map[string]int{"m2": 30}, asked(), "one that is idle gets more")
	for range refusing {
		end(2, status.Error(codes.Unknown, "raft proposal dropped"))
	}
	assert.Equal(t, map[string]int{"m0": 10, "m1": 10, "m2": 10}, asked())
	end(2, nil)
	assert.Equal(t, map[string]int{"m2": 30}, asked(), "it serves again")
	for i := range p.seats {
		for range refusing {
			end(i, status.Error(codes.Unavailable, "no leader"))
		}
	}
	assert.Equal(t, map[string]int{"m2": 30}, asked(), "nobody is better than it")
}

func TestIsRefusal(t *testing.T) {
	for err, want := range map[error]bool{
		nil:                                             false,
		rpctypes.ErrGRPCNoLeader:                        true,
		rpctypes.ErrGRPCStopped:                         true,
		rpctypes.ErrGRPCNotCapable:                      true,
		rpctypes.ErrGRPCInvalidAuthToken:                true,
		rpctypes.ErrGRPCRequestTooManyRequests:          true,
		errors.New("whatever"):                          true,
		rpctypes.ErrGRPCCompacted:                       false,
		rpctypes.ErrGRPCPermissionDenied:                false,
		rpctypes.ErrGRPCEmptyKey:                        false,
		rpctypes.ErrGRPCLeaseNotFound:                   false,
		status.FromContextError(context.Canceled).Err(): false,
	} {
		assert.Equal(t, want, isRefusal(err), "%v", err)
	}
}
