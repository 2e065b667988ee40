package balancer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"

	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/memberhealth"
)

// StreamTarget is the member on which one link opens its streams, one after another. The
// zero value is ready for use.
type StreamTarget struct {
	current atomic.Pointer[Member] // of the latest stream
	avoid   atomic.Pointer[Member]
	last    atomic.Pointer[targetedStream]
}

// targetedStream is one stream of a target.
type targetedStream struct {
	target *StreamTarget
	end    context.CancelFunc
}

type streamTargetKey struct{}

// With returns a context for the next stream, which descends from ctx. It ends when the stream's
// member is removed from the endpoints: gRPC keeps a connection for as long as it has a stream.
func (p *StreamTarget) With(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s := &targetedStream{target: p, end: cancel}
	if last := p.last.Swap(s); last != nil {
		last.end() // its stream is over
	}
	return context.WithValue(ctx, streamTargetKey{}, s)
}

// AvoidLast makes the next streams open on other members than the latest one, if there are any,
// until it is called again.
func (p *StreamTarget) AvoidLast() { p.avoid.Store(p.current.Load()) }

// elsewhereKey is the context key of a *Member that is to be avoided.
type elsewhereKey struct{}

// Elsewhere returns a context for a request that checks an answer of the latest stream's member.
// The request goes to another member, if there is one that serves.
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

// streams are the open streams of one member.
type streams struct {
	// guarded by mu
	mu      sync.Mutex
	removed bool // from the endpoints
	open    map[*targetedStream]struct{}
}

// add adds a stream. It returns false if the member was removed.
func (s *streams) add(p *targetedStream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return false
	}
	if s.open == nil {
		s.open = map[*targetedStream]struct{}{}
	}
	s.open[p] = struct{}{}
	return true
}

func (s *streams) remove(p *targetedStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
}

// endAll ends all streams, and lets no other be added. The caller holds no lock that the end of a
// stream takes.
func (s *streams) endAll() {
	s.mu.Lock()
	open := s.open
	s.removed, s.open = true, nil
	s.mu.Unlock()
	for p := range open {
		p.end()
	}
}

// pickStream picks for a stream. If its member was removed after this picker was made, gRPC tries
// again with the next picker.
func (p *picker) pickStream(info balancer.PickInfo) (balancer.PickResult, error) {
	stream, ok := info.Ctx.Value(streamTargetKey{}).(*targetedStream)
	if !ok {
		return balancer.PickResult{SubConn: p.chooseStream(nil).sub}, nil
	}
	c := p.chooseStream(stream.target.avoid.Load())
	if !c.member.streams.add(stream) {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	stream.target.current.Store(c.member)
	return balancer.PickResult{SubConn: c.sub, Done: func(d balancer.DoneInfo) {
		c.member.streams.remove(stream)
		if classify.IsNoLeader(d.Err) {
			c.member.health.LoseLeader(time.Now())
		}
	}}, nil
}

// chooseStream chooses for a stream, or for a request that avoids a member. Members that refuse
// requests come last: one without a leader may accept the stream and never send anything. The
// member to avoid comes before them. Round-robin alone could return that member again and again,
// because other requests advance the position as well.
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
