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
)

// movableInfo is a request that may be sent again.
func movableInfo(method string) balancer.PickInfo {
	return balancer.PickInfo{FullMethodName: method, Ctx: context.WithValue(context.Background(), Repeats{}, true)}
}

// shares tells how many of 30 requests each member gets, answered as they come.
func shares(t *testing.T, p *picker, info balancer.PickInfo, err error) []uint64 {
	t.Helper()
	n := make([]uint64, len(p.seats))
	for range 30 {
		before := make([]uint64, len(p.seats))
		for i, s := range p.seats {
			before[i] = s.member.answered.Load()
		}
		r, pickErr := p.Pick(info)
		require.NoError(t, pickErr)
		r.Done(balancer.DoneInfo{Err: err, BytesReceived: true})
		for i, s := range p.seats {
			n[i] += s.member.answered.Load() - before[i]
		}
	}
	return n
}

// reconnect has the member's connection lost, and another one made.
func reconnect(table *Table, p *picker, i int) *picker {
	var without, with []endpointsharding.ChildState
	for j, s := range p.seats {
		child := connected(s.member.address)
		with = append(with, child)
		if j != i {
			without = append(without, child)
		}
	}
	table.seat(without)
	return table.seat(with).(*picker)
}

// TestMemberCatchingUpGetsNoWrites: one that was silent may have to catch up when it is back,
// and gets no writes until soon after it has answered a range.
func TestMemberCatchingUpGetsNoWrites(t *testing.T) {
	ranges, others := movableInfo(pb.KV_Range_FullMethodName), movableInfo(pb.Maintenance_Status_FullMethodName)
	even := []uint64{10, 10, 10}
	for name, fall := range map[string]func(table *Table, p *picker) *picker{
		"its connection was closed for silence": func(table *Table, p *picker) *picker {
			p.seats[1].member.rec.state = severed
			return reconnect(table, p, 1)
		},
		"its connection was closed as it was stuck": func(table *Table, p *picker) *picker {
			p.seats[1].member.rec.state, p.seats[1].member.rec.stuck = severed, true
			p = reconnect(table, p, 1)
			table.mu.Lock() // else it would not take much anyway
			defer table.mu.Unlock()
			p.seats[1].member.rec.state = good
			setLimits(table.ready)
			return p
		},
		"it says so": func(_ *Table, p *picker) *picker {
			p.seats[1].member.done(balancer.DoneInfo{Err: rpctypes.ErrGRPCRequestTooManyRequests, BytesReceived: true})
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, p := seated(t, 3, noProbe)
				assert.Equal(t, even, shares(t, p, put, nil))
				p = fall(table, p)
				assert.Zero(t, shares(t, p, put, nil)[1])
				p.seats[0].member.outstanding.Add(100)
				p.seats[2].member.outstanding.Add(100)
				assert.Zero(t, shares(t, p, put, nil)[1], "however busy the others are")
				p.seats[0].member.outstanding.Add(-100)
				p.seats[2].member.outstanding.Add(-100)

				assert.Equal(t, even, shares(t, p, ranges, status.Error(codes.Unavailable, "no leader")))
				assert.Equal(t, even, shares(t, p, others, nil))
				assert.Zero(t, shares(t, p, put, nil)[1], "nothing is shown by these")
				p.seats[1].member.refusals.Store(0)
				assert.Equal(t, even, shares(t, p, ranges, nil))
				time.Sleep(behindRest / 2)
				assert.Zero(t, shares(t, p, put, nil)[1], "it may refuse yet")
				assert.Equal(t, even, shares(t, p, ranges, nil))
				time.Sleep(behindRest / 2)
				assert.Equal(t, even, shares(t, p, put, nil), "it has caught up")

				p = fall(table, p)
				assert.Zero(t, shares(t, p, put, nil)[1])
				time.Sleep(behindFor)
				assert.Equal(t, even, shares(t, p, put, nil), "where nobody asks for a range")
				for _, s := range p.seats {
					s.member.fallBehind(time.Now())
				}
				assert.Equal(t, even, shares(t, p, put, nil), "nobody is better than another")
			})
		})
	}
}

// TestLostConnectionIsNoFallingBehind: it takes silence.
func TestLostConnectionIsNoFallingBehind(t *testing.T) {
	table, p := seated(t, 3, noProbe)
	p = reconnect(table, p, 1)
	assert.Equal(t, []uint64{10, 10, 10}, shares(t, p, put, nil))
}
