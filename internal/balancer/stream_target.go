package balancer

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// StreamTarget chooses the member for each stream of one link of package bidi, which opens one
// stream after another. The zero value is ready for use.
type StreamTarget struct {
	current atomic.Pointer[Member]         // the member of the latest stream
	avoid   atomic.Pointer[Member]         // chosen only if no other member serves
	last    atomic.Pointer[targetedStream] // the latest stream
}

// targetedStream is one stream of a StreamTarget.
type targetedStream struct {
	target *StreamTarget
	end    context.CancelFunc // ends the context that With returned for the stream
}

type streamTargetKey struct{}

// With returns a copy of ctx for the next stream. The copy ends with ctx, and also when the
// stream's member is removed from the endpoints. Otherwise the stream would keep gRPC's connection
// to that member open.
func (p *StreamTarget) With(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s := &targetedStream{target: p, end: cancel}
	if last := p.last.Swap(s); last != nil {
		last.end() // frees a context only: the previous stream has ended before With is called
	}
	return context.WithValue(ctx, streamTargetKey{}, s)
}

// AvoidLast makes the next streams avoid the member of the latest stream: they use that member only
// if no other member serves. The next call of AvoidLast replaces the member to avoid.
func (p *StreamTarget) AvoidLast() { p.avoid.Store(p.current.Load()) }

// elsewhereKey is the context key of a *Member that is to be avoided.
type elsewhereKey struct{}

// Elsewhere returns a context for a LeaseTimeToLive request that checks what the member of the
// latest stream has answered. The request goes to another member if another one serves. Other
// requests ignore the context's value.
func (p *StreamTarget) Elsewhere(ctx context.Context) context.Context {
	return context.WithValue(ctx, elsewhereKey{}, p.current.Load())
}

// Address returns the address of the member of the latest stream, or "" if that is unknown.
func (p *StreamTarget) Address() string {
	if m := p.current.Load(); m != nil {
		return m.address
	}
	return ""
}

// WithoutHealth reports whether the member of the latest stream is known to have no health service.
// etcd's members have one, etcd's gRPC proxy has none.
func (p *StreamTarget) WithoutHealth() bool {
	m := p.current.Load()
	return m != nil && m.withoutHealth.Load()
}

// pickStream picks a connection for a stream. If the chosen member was removed after this picker
// was made, the stream waits for the next picker.
func (p *picker) pickStream(info balancer.PickInfo) (balancer.PickResult, error) {
	stream, ok := info.Ctx.Value(streamTargetKey{}).(*targetedStream)
	if !ok {
		return balancer.PickResult{SubConn: p.chooseStream(nil).sub}, nil
	}
	c := p.chooseStream(stream.target.avoid.Load())
	if c.member.removed.Err() != nil {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	detach := context.AfterFunc(c.member.removed, stream.end)
	stream.target.current.Store(c.member)
	return balancer.PickResult{SubConn: c.sub, Done: func(d balancer.DoneInfo) {
		detach()
		if classify.IsNoLeader(d.Err) {
			c.member.health.LoseLeader(time.Now())
		}
	}}, nil
}

// chooseStream returns a connection for a stream, or for a request that avoids a member. A nil
// avoid stands for no member. Among the usable members, chooseStream prefers:
//
//  1. a member other than avoid that serves requests, best one that takes any number of them
//  2. the member avoid, if it serves requests
//  3. a member other than avoid that refuses requests
//
// A member that refuses requests may have no leader. It may then accept a stream and never send
// anything.
//
// chooseStream calls [picker.choose] only once. Concurrent requests also move the round-robin
// position, so a second call could return the member to avoid again.
func (p *picker) chooseStream(avoid *Member) *conn {
	first := p.choose()
	if first.member != avoid && !first.member.health.Refuses() && first.member.health.Usable() {
		return first
	}
	next, n := p.tracker.next.Load(), uint32(len(p.candidates))
	for _, suits := range [...]func(*Member) bool{
		func(m *Member) bool {
			return m != avoid && !m.health.Refuses() && m.health.Limit() == memberhealth.Unlimited
		},
		func(m *Member) bool { return m != avoid && !m.health.Refuses() },
		func(m *Member) bool { return !m.health.Refuses() },
		func(m *Member) bool { return m != avoid },
	} {
		for i := range n {
			if c := p.candidates[(next+i)%n]; c.member.health.Usable() && suits(c.member) {
				return c
			}
		}
	}
	return first
}
