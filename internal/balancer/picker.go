package balancer

import (
	"context"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/balancer"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// candidate is a connected member, with gRPC's picker of its connection.
type candidate struct {
	member *Member
	child  balancer.Picker
}

// picker spreads requests over the connected members. It holds no lock and allocates
// nothing.
type picker struct {
	tracker    *Tracker
	candidates []candidate
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if isStream(info.FullMethodName) {
		return p.pickStream(info)
	}
	movable := isMovable(info.Ctx)
	c := p.choose(movable)
	if info.FullMethodName == pb.Lease_LeaseTimeToLive_FullMethodName {
		c = p.elsewhere(info.Ctx, c)
	}
	result, err := c.child.Pick(info)
	if err != nil || p.tracker.even {
		return result, err
	}
	c.member.health.Begin(movable)
	done := c.member.done
	if movable {
		done = c.member.doneMovable
	}
	if c.member.health.MayCatchUp() {
		done = c.member.doneCatchingUp(info.FullMethodName, done)
	}
	p.tracker.wake()
	if other := result.Done; other != nil {
		result.Done = func(d balancer.DoneInfo) { done(d); other(d) }
	} else {
		result.Done = done
	}
	return result, nil
}

func isMovable(ctx context.Context) bool {
	movable, _ := ctx.Value(Idempotent{}).(bool)
	return movable
}

// isStream reports whether the method is a long-lived call, whose end is no answer. Methods
// of etcd's election and lock services wait for other clients.
func isStream(method string) bool {
	if !strings.HasPrefix(method, "/etcdserverpb.") {
		return true
	}
	switch method {
	case pb.Watch_Watch_FullMethodName, pb.Lease_LeaseKeepAlive_FullMethodName,
		pb.Maintenance_Snapshot_FullMethodName, pb.KV_RangeStream_FullMethodName:
		return true
	}
	return false
}

// choose goes round-robin over the members. It passes over those that take no more requests,
// those much busier than the least busy one and, for a request that cannot be moved, those
// that are catching up.
func (p *picker) choose(movable bool) candidate {
	n := uint32(len(p.candidates))
	next := p.tracker.next.Add(1)
	least := p.leastOutstanding(movable)
	for i := range n {
		c := p.candidates[(next+i)%n]
		if c.suits(movable) && c.member.health.Takes(least) {
			return c
		}
	}
	for _, orAny := range [...]bool{movable, true} {
		for i := range n {
			c := p.candidates[(next+i)%n]
			if c.suits(orAny) && c.member.health.Usable() {
				return c
			}
		}
	}
	return p.candidates[next%n]
}

// suits reports whether the member may get a request: one that cannot be moved does not go
// to a member that is catching up.
func (c candidate) suits(movable bool) bool { return movable || c.member.health.CaughtUp() }

// leastOutstanding returns the number of outstanding requests of the least busy member.
func (p *picker) leastOutstanding(movable bool) int64 {
	least, leastOfAll := int64(memberhealth.Unlimited), int64(memberhealth.Unlimited)
	for _, c := range p.candidates {
		health := c.member.health
		if health.Limit() != memberhealth.Unlimited || !c.suits(movable) {
			continue
		}
		outstanding := health.Outstanding()
		leastOfAll = min(leastOfAll, outstanding)
		if health.IsBaseline() {
			least = min(least, outstanding)
		}
	}
	if least == memberhealth.Unlimited {
		return leastOfAll
	}
	return least
}
