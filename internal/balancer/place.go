package balancer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
)

// Place is where one link opens its streams, one after another. The zero value is
// ready for use.
type Place struct {
	at   atomic.Pointer[Member] // of the latest stream
	left atomic.Pointer[Member]
	last atomic.Pointer[placed]
}

// placed is one stream at a place.
type placed struct {
	place *Place
	end   context.CancelFunc
}

type placeKey struct{}

// With returns a context for the next stream at p, which descends from ctx. It ends
// when the stream's member is no endpoint any more: gRPC would keep the connection
// for as long as there is a stream on it.
func (p *Place) With(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s := &placed{place: p, end: cancel}
	if last := p.last.Swap(s); last != nil {
		last.end() // its stream is over
	}
	return context.WithValue(ctx, placeKey{}, s)
}

// Leave has the next streams opened on other members than the latest one, if there
// are any, until Leave is called again.
func (p *Place) Leave() { p.left.Store(p.at.Load()) }

// elsewhereKey is the context key of a *Member that is to be avoided.
type elsewhereKey struct{}

// Elsewhere returns a context for a question about what the member of the latest stream
// has said. It goes to another member, if there is one that serves.
func (p *Place) Elsewhere(ctx context.Context) context.Context {
	return context.WithValue(ctx, elsewhereKey{}, p.at.Load())
}

// elsewhere replaces the choice for such a question.
func (p *picker) elsewhere(ctx context.Context, s seat) seat {
	if avoided, ok := ctx.Value(elsewhereKey{}).(*Member); ok && avoided == s.member {
		return p.chooseStream(s.member)
	}
	return s
}

// Address returns the address of the member that the latest stream was opened on, or "" if that is not known.
func (p *Place) Address() string {
	if m := p.at.Load(); m != nil {
		return m.address
	}
	return ""
}

// WithoutHealth reports whether that member is known to have no health service. Members of etcd have one, etcd's gRPC
// proxy has not.
func (p *Place) WithoutHealth() bool {
	m := p.at.Load()
	return m != nil && m.withoutHealth.Load()
}

// streams are those placed on one member.
type streams struct {
	mu      sync.Mutex
	removed bool // the member is no endpoint any more
	open    map[*placed]struct{}
}

// add reports false where the member takes no more streams.
func (s *streams) add(p *placed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.removed {
		return false
	}
	if s.open == nil {
		s.open = map[*placed]struct{}{}
	}
	s.open[p] = struct{}{}
	return true
}

func (s *streams) remove(p *placed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
}

// endAll ends all streams, for good. No lock may be held that their ends take.
func (s *streams) endAll() {
	s.mu.Lock()
	open := s.open
	s.removed, s.open = true, nil
	s.mu.Unlock()
	for p := range open {
		p.end()
	}
}

// pickStream picks for a stream. A picker may be older than the list of endpoints:
// gRPC tries again with the next one then.
func (p *picker) pickStream(info balancer.PickInfo) (balancer.PickResult, error) {
	stream, ok := info.Ctx.Value(placeKey{}).(*placed)
	if !ok {
		return p.chooseStream(nil).child.Pick(info)
	}
	s := p.chooseStream(stream.place.left.Load())
	if !s.member.streams.add(stream) {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	result, err := s.child.Pick(info)
	if err != nil {
		s.member.streams.remove(stream)
		return result, err
	}
	stream.place.at.Store(s.member)
	other := result.Done
	result.Done = func(d balancer.DoneInfo) {
		s.member.streams.remove(stream)
		if isLeaderless(d.Err) {
			s.member.loseLeader(time.Now())
		}
		if other != nil {
			other(d)
		}
	}
	return result, nil
}

// chooseStream chooses for a stream. A member that refuses what it is asked, as one
// without a leader, comes last: such a stream may be accepted there, and never bring
// anything. Then comes the member that the stream has left. Whose turn it is may be
// that one time and again, as other requests take their turns too.
func (p *picker) chooseStream(left *Member) seat {
	first := p.choose(true)
	if first.member != left && !first.member.refuses() && first.member.limit.Load() > 0 {
		return first
	}
	turn, n := p.table.turn.Load(), uint32(len(p.seats))
	for _, suits := range [...]func(*Member) bool{
		func(m *Member) bool { return m != left && !m.refuses() && m.limit.Load() == unlimited },
		func(m *Member) bool { return m != left && !m.refuses() },
		func(m *Member) bool { return !m.refuses() },
		func(m *Member) bool { return m != left },
	} {
		for i := range n {
			if s := p.seats[(turn+i)%n]; s.member.limit.Load() > 0 && suits(s.member) {
				return s
			}
		}
	}
	return first
}
