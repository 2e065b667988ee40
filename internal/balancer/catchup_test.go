package balancer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// movableInfo is a request that may be sent again.
func movableInfo(method string) balancer.PickInfo {
	return balancer.PickInfo{FullMethodName: method,
		Ctx: context.WithValue(context.Background(), Idempotent{}, true)}
}

// shares returns how many of 30 requests each member gets, answered as they come.
func shares(t *testing.T, p *picker, info balancer.PickInfo, err error) []uint64 {
	t.Helper()
	n := make([]uint64, len(p.candidates))
	for range 30 {
		before := make([]uint64, len(p.candidates))
		for i, s := range p.candidates {
			before[i] = s.member.health.Answered()
		}
		r, pickErr := p.Pick(info)
		require.NoError(t, pickErr)
		r.Done(balancer.DoneInfo{Err: err, BytesReceived: true})
		for i, s := range p.candidates {
			n[i] += s.member.health.Answered() - before[i]
		}
	}
	return n
}

// These are the times that package memberhealth states.
const (
	catchUpTime       = 3 * time.Second
	catchUpAfterRange = 500 * time.Millisecond
)

// answer lets the member serve a request.
func answer(m *Member) {
	m.health.Begin(false)
	m.health.End(false, memberhealth.Outcome{Answered: true})
}

// reconnect has the member's connection lost, and another one made.
func reconnect(tracker *Tracker, p *picker, i int) *picker {
	var without, with []endpointsharding.ChildState
	for j, s := range p.candidates {
		child := connected(s.member.address)
		with = append(with, child)
		if j != i {
			without = append(without, child)
		}
	}
	tracker.pickerOf(without)
	return tracker.pickerOf(with).(*picker)
}

// TestMemberCatchingUpGetsNoWrites: a server refuses proposals while it has more than 5,000 entries
// to apply. A member that was silent may have that many when it is back, so it gets no writes until
// soon after it has answered a range.
func TestMemberCatchingUpGetsNoWrites(t *testing.T) {
	ranges, others := movableInfo(pb.KV_Range_FullMethodName),
		movableInfo(pb.Maintenance_Status_FullMethodName)
	even := []uint64{10, 10, 10}
	for name, fall := range map[string]func(tracker *Tracker, p *picker) *picker{
		"its connection was closed for silence": func(tracker *Tracker, p *picker) *picker {
			p.candidates[1].member.health.Force(memberhealth.Ejected, false)
			return reconnect(tracker, p, 1)
		},
		"its connection was closed as it was stuck": func(tracker *Tracker, p *picker) *picker {
			p.candidates[1].member.health.Force(memberhealth.Ejected, true)
			p = reconnect(tracker, p, 1)
			tracker.mu.Lock() // else it would not take much anyway
			defer tracker.mu.Unlock()
			p.candidates[1].member.health.Force(memberhealth.Healthy, true)
			return p
		},
		"it says so": func(_ *Tracker, p *picker) *picker {
			p.candidates[1].member.health.Begin(false)
			p.candidates[1].member.done(balancer.DoneInfo{
				Err: rpctypes.ErrGRPCRequestTooManyRequests, BytesReceived: true})
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker, p := newTestPicker(t, 3, noProbe)
				assert.Equal(t, even, shares(t, p, put, nil))
				p = fall(tracker, p)
				assert.Zero(t, shares(t, p, put, nil)[1])
				setOutstanding(p.candidates[0].member, 100)
				setOutstanding(p.candidates[2].member, 100)
				assert.Zero(t, shares(t, p, put, nil)[1], "however busy the others are")
				setOutstanding(p.candidates[0].member, 0)
				setOutstanding(p.candidates[2].member, 0)

				assert.Equal(t, even, shares(t, p, ranges,
					status.Error(codes.Unavailable, "no leader")))
				assert.Equal(t, even, shares(t, p, others, nil))
				assert.Zero(t, shares(t, p, put, nil)[1], "nothing is shown by these")
				answer(p.candidates[1].member)
				assert.Equal(t, even, shares(t, p, ranges, nil))
				time.Sleep(catchUpAfterRange / 2)
				assert.Zero(t, shares(t, p, put, nil)[1], "it may refuse yet")
				assert.Equal(t, even, shares(t, p, ranges, nil))
				time.Sleep(catchUpAfterRange / 2)
				assert.Equal(t, even, shares(t, p, put, nil), "it has caught up")

				p = fall(tracker, p)
				assert.Zero(t, shares(t, p, put, nil)[1])
				time.Sleep(catchUpTime)
				assert.Equal(t, even, shares(t, p, put, nil), "if no range is asked for")
				for _, s := range p.candidates {
					s.member.health.CatchUp(time.Now())
				}
				assert.Equal(t, even, shares(t, p, put, nil), "no member is better than another")
			})
		})
	}
}

// TestLostConnectionIsNoCatchingUp: only a silent member has to catch up.
func TestLostConnectionIsNoCatchingUp(t *testing.T) {
	tracker, p := newTestPicker(t, 3, noProbe)
	p = reconnect(tracker, p, 1)
	assert.Equal(t, []uint64{10, 10, 10}, shares(t, p, put, nil))
}
