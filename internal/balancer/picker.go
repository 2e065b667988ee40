package balancer

import (
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/balancer"

	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// picker spreads requests over the connected members. A pick for a unary call allocates nothing.
// While the tracker's ticks (its regular comparisons of the members) run, such a pick takes no
// lock.
type picker struct {
	tracker    *Tracker
	candidates []*conn
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if isStream(info.FullMethodName) {
		return p.pickStream(info)
	}
	attempt, _ := info.Ctx.Value(AttemptKey{}).(Attempt)
	movable := attempt != nil && attempt.Idempotent()
	c := p.choose()
	if m := avoided(info, attempt); m != nil && m == c.member {
		c = p.chooseStream(m)
	}
	if attempt != nil {
		attempt.SetMember(c.member)
	}
	result := balancer.PickResult{SubConn: c.sub}
	if p.tracker.Even {
		return result, nil
	}
	c.member.health.Begin(movable)
	result.Done = c.member.done
	if movable {
		result.Done = c.member.doneMovable
	}
	p.tracker.wake()
	return result, nil
}

// avoided returns the member that the request should avoid, or nil. The request goes to this member
// only if no other member serves.
//
//   - A repeated request avoids the member of its previous attempt.
//   - A LeaseTimeToLive request that checks a member's answer avoids that member: see
//     [StreamTarget.Elsewhere].
func avoided(info balancer.PickInfo, attempt Attempt) *Member {
	if attempt != nil {
		if m, ok := attempt.Avoid().(*Member); ok {
			return m
		}
	}
	if info.FullMethodName == pb.Lease_LeaseTimeToLive_FullMethodName {
		m, _ := info.Ctx.Value(elsewhereKey{}).(*Member)
		return m
	}
	return nil
}

// isStream reports whether calls of the method may last long by design. Such calls do not show how
// quickly a member answers, so they do not count as outstanding requests.
//
// Calls of etcd's election and lock services are unary, but may last long, too. They wait for other
// clients.
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

// choose returns the next connection in round-robin order. It takes the first member that it finds:
//
//  1. a member with fewer outstanding requests than its health allows, and not many more than the
//     least busy member
//  2. a member that is not ejected, however busy it is
//  3. the next member, if all are ejected
func (p *picker) choose() *conn {
	n := uint32(len(p.candidates))
	next := p.tracker.next.Add(1)
	least := p.leastOutstanding()
	for i := range n {
		if c := p.candidates[(next+i)%n]; c.member.health.Takes(least) {
			return c
		}
	}
	for i := range n {
		if c := p.candidates[(next+i)%n]; c.member.health.Usable() {
			return c
		}
	}
	return p.candidates[next%n]
}

// leastOutstanding returns how many requests are outstanding at the least busy member. It considers
// only members that may have any number of outstanding requests.
//
// A member that refuses all requests has few outstanding ones. It counts only if every other member
// refuses all requests, too.
func (p *picker) leastOutstanding() int64 {
	least, leastOfAll := int64(memberhealth.Unlimited), int64(memberhealth.Unlimited)
	for _, c := range p.candidates {
		health := c.member.health
		if health.Limit() != memberhealth.Unlimited {
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
