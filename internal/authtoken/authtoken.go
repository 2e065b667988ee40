package authtoken

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/credentials"
)

var (
	// ErrStatic is returned by Refresh of a source made by Static: the token is the user's and no
	// other can be had. The request that was refused should fail with its own error.
	ErrStatic = errors.New("authtoken: a static token is not refreshed")

	errEmpty = errors.New("authtoken: the server answered Authenticate without a token")
)

// Source is the current token of one client. The zero Source holds no token and never asks for one,
// which is what users known by the common name of their certificate need. All methods are safe for
// concurrent use.
type Source struct {
	// Read-only after New.
	authenticate func(context.Context) (string, error) // nil: the token never changes
	ctx          context.Context                       // of every flight; ends with Close
	cancel       context.CancelFunc

	// Own synchronisation.
	current atomic.Pointer[held] // nil: no token yet; stored only with mu held
	flights sync.WaitGroup       // added to only with mu held and closed unset

	// Guarded by mu.
	mu      sync.Mutex
	pending *flight // nil: no request under way
	closed  bool
}

// freshFor is how long a new token may be unknown to members that lag behind the one that issued
// it: a few heartbeats.
const freshFor = 500 * time.Millisecond

// held is one generation of the token. It is never changed once stored.
type held struct {
	generation uint64
	since      time.Time
	metadata   map[string]string // nil: authentication is off, nothing is attached
}

// New returns a Source for a user with a password. authenticate performs one Authenticate request;
// it is called with a context that descends from ctx and ends with Close, never twice at a time,
// and must return when that context ends. It must also bound its own time where the server may be
// silent, for callers wait for it. Nothing is asked of the server before the first Ensure or
// Refresh.
func New(ctx context.Context, authenticate func(context.Context) (string, error)) *Source {
	s := &Source{authenticate: authenticate}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Static returns a Source whose token is always token; Refresh returns ErrStatic.
func Static(token string) *Source {
	s := &Source{}
	s.storeLocked(token)
	return s
}

// Generation identifies the current token: it changes whenever the token does, and is 0 while there
// has been none. Read it before a request is sent and hand it to Refresh if the token is refused;
// it costs one atomic load.
func (s *Source) Generation() uint64 {
	if h := s.current.Load(); h != nil {
		return h.generation
	}
	return 0
}

// Fresh reports whether the token of generation seen is the current one and so new that a member
// which refuses it as invalid may only not have heard of it yet. Such a refusal is better answered
// by trying again than by Refresh.
func (s *Source) Fresh(seen uint64) bool {
	h := s.current.Load()
	return s.authenticate != nil && h != nil && h.metadata != nil && h.generation == seen &&
		time.Since(h.since) < freshFor
}

// Ensure obtains the first token, if the source has a user and none was obtained yet. It blocks and
// fails as Refresh does.
func (s *Source) Ensure(ctx context.Context) error {
	if s.authenticate == nil || s.Generation() != 0 {
		return nil
	}
	return s.Refresh(ctx, 0)
}

// Refresh replaces the token of generation seen. If the token has changed since, or the source has
// no user to authenticate (certificates), it returns nil at once and the request can be tried
// again. Otherwise it blocks until the one request under way, started by this call if there is
// none, is answered.
//
// The old token stays in place until the new one is there. If the server says that authentication
// is not enabled, the token is dropped and Refresh returns nil. Any other error of the request is
// returned to all who waited for it, the token is kept, and the next Refresh asks again. Refresh
// returns ErrStatic for a static token, the error of ctx if that ends first (the request goes on
// for the others), and context.Canceled after Close.
func (s *Source) Refresh(ctx context.Context, seen uint64) error {
	if s.authenticate == nil {
		if s.Generation() != 0 {
			return ErrStatic
		}
		return nil
	}
	f, err := s.join(seen)
	if f == nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Renew is Refresh for a stream that will be opened again: it returns nil if the token is static,
// because the server may accept the next stream all the same.
func (s *Source) Renew(ctx context.Context, seen uint64) error {
	if err := s.Refresh(ctx, seen); !errors.Is(err, ErrStatic) {
		return err
	}
	return nil
}

// Close ends the request under way, if any, and waits for it; those who wait for it get
// context.Canceled. The token stays attached to what is still sent. Close may be called more than
// once.
func (s *Source) Close() {
	if s.authenticate == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.flights.Wait()
}

// PerRPC returns credentials that attach the token current at the time of each request, and nothing
// while there is none. They do not ask for transport security, as etcd serves tokens over plain
// connections too, and never block.
func (s *Source) PerRPC() credentials.PerRPCCredentials { return perRPC{s} }

// storeLocked makes token the current one; "" means that nothing is attached.
func (s *Source) storeLocked(token string) {
	h := &held{generation: s.Generation() + 1, since: time.Now()}
	if token != "" {
		h.metadata = map[string]string{rpctypes.TokenFieldNameGRPC: token}
	}
	s.current.Store(h)
}

type perRPC struct{ source *Source }

// GetRequestMetadata returns a map that all requests of one generation share; gRPC only reads it.
func (p perRPC) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if h := p.source.current.Load(); h != nil {
		return h.metadata, nil
	}
	return nil, nil
}

func (perRPC) RequireTransportSecurity() bool { return false }
