package balancer

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusalsToIgnore is a copy of the constant in package memberhealth.
const refusalsToIgnore = 4

// TestRefusingMemberIsNoMeasure: a member that refuses every request has no outstanding requests.
// The picker must not compare the others with it, or it would find them too busy and send every
// request to the member that refuses.
func TestRefusingMemberIsNoMeasure(t *testing.T) {
	_, p := newTestPicker(t, 3, noProbe)
	picks := func() map[string]int {
		n := map[string]int{}
		for range 30 {
			n[p.choose().member.address]++
		}
		return n
	}
	end := func(i int, err error) {
		m := p.candidates[i].member
		m.health.Begin(false)
		m.done(balancer.DoneInfo{Err: err, BytesReceived: true})
	}
	setOutstanding(p.candidates[0].member, 10)
	setOutstanding(p.candidates[1].member, 10)
	assert.Equal(t, map[string]int{"m2": 30}, picks(), "one that is idle gets more")
	for range refusalsToIgnore {
		end(2, status.Error(codes.Unknown, "raft proposal dropped"))
	}
	assert.Equal(t, map[string]int{"m0": 10, "m1": 10, "m2": 10}, picks())
	end(2, nil)
	assert.Equal(t, map[string]int{"m2": 30}, picks(), "it serves again")
	for i := range p.candidates {
		for range refusalsToIgnore {
			end(i, status.Error(codes.Unavailable, "no leader"))
		}
	}
	assert.Equal(t, map[string]int{"m2": 30}, picks(), "no member is better than it")
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
