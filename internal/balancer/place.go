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
	s := p.choose()
	place, ok := info.Ctx.Value(placeKey{}).(*Place)
	if !ok {
		return s.child.Pick(info)
	}
	left := place.left.Load()
	for range p.seats {
		if s.member != left {
			break
		}
		s = p.choose()
	}
	place.at.Store(s.member)
	return s.child.Pick(info)
}
