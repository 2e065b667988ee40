package balancer

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
)

// Place is where one link opens its streams, one after another. The zero value is
// ready for use.
type Place struct {
	at   atomic.Pointer[Member] // of the latest stream
	left atomic.Pointer[Member]
}

type placeKey struct{}

// With returns a context by which streams are opened at p.
func (p *Place) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// Leave has the next streams opened on other members than the latest one, if there
// are any, until Leave is called again.
func (p *Place) Leave() { p.left.Store(p.at.Load()) }

// pickStream picks for a stream.
func (p *picker) pickStream(info balancer.PickInfo) (balancer.PickResult, error) {
	s := p.choose(true)
	place, ok := info.Ctx.Value(placeKey{}).(*Place)
	if !ok {
		return s.child.Pick(info)
	}
	if s.member == place.left.Load() {
		s = p.otherThan(s)
	}
	place.at.Store(s.member)
	return s.child.Pick(info)
}

// otherThan chooses another member than that of s, and s itself where none may be
// asked. Whose turn it is may be s time and again, as other requests take their
// turns too, and slow members seldom have one.
func (p *picker) otherThan(s seat) seat {
	for range p.seats {
		if o := p.choose(true); o.member != s.member {
			return o
		}
	}
	for _, o := range p.seats {
		if o.member != s.member && o.member.limit.Load() > 0 {
			return o
		}
	}
	return s
}
