package authtoken

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"go.etcd.io/etcd/client/v3/internal/classify"
)

var (
	// ErrStatic is returned by Refresh of a Source made by Static, which has no other token. The
	// request that was refused should fail with its own error.
	ErrStatic = errors.New("authtoken: a static token is not refreshed")

	errEmpty = errors.New("authtoken: the server answered Authenticate without a token")
)

// Source holds the current token of one client. All methods are safe for concurrent use. The zero
// Source holds no token and never asks for one; clients that authenticate by a certificate use it.
type Source struct {
	// The following fields are read-only after New.

	// authenticate sends one Authenticate request. It is nil if the token never changes.
	authenticate func(context.Context) (string, error)
	ctx          context.Context // the context of every login; Close ends it
	cancel       context.CancelFunc

	// current is the token that requests carry, or nil before the first one. Any goroutine may load
	// it. Only a goroutine that holds mu may store it.
	current atomic.Pointer[held]
	// logins counts the goroutines that run logins. A goroutine is added only with mu held, and
	// only while closed is false, so that Close waits for every goroutine.
	logins sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	pending *login // nil: no login under way
	closed  bool
}

// freshFor is how long a new token may be unknown to some members. Members learn of a new token
// through Raft, within a few Raft heartbeats.
const freshFor = 500 * time.Millisecond

// held is one generation of the token. It never changes once stored.
type held struct {
	generation uint64
	since      time.Time
	metadata   map[string]string // nil: authentication is off, requests carry no token
}

// New returns a Source for a user with a password. The Source asks the server for nothing before
// the first Ensure or Refresh.
//
// The function authenticate performs one Authenticate request and returns the token. It is never
// called concurrently. Its context descends from ctx and ends with Close; authenticate must return
// when that context ends. It must also have a time limit of its own, because callers wait for it
// even if the server is silent.
func New(ctx context.Context, authenticate func(context.Context) (string, error)) *Source {
	s := &Source{authenticate: authenticate}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// Static returns a Source that always holds the given token. Its Refresh returns ErrStatic.
func Static(token string) *Source {
	s := &Source{}
	s.storeLocked(token)
	return s
}

// Generation returns the number of the current token, or 0 before the first token. The number
// changes whenever the token does. Read it before a request is sent, and pass it to Refresh if the
// token is refused. It costs one atomic load.
func (s *Source) Generation() uint64 {
	if h := s.current.Load(); h != nil {
		return h.generation
	}
	return 0
}

// Fresh reports whether the current token is so new that members may not know it yet. If so, try a
// refused request again instead of calling Refresh. As seen, pass the [Source.Generation] that was
// read before the request. If the token has changed since, Fresh returns false.
func (s *Source) Fresh(seen uint64) bool {
	h := s.current.Load()
	return s.authenticate != nil && h != nil && h.metadata != nil && h.generation == seen &&
		time.Since(h.since) < freshFor
}

// Ensure obtains the first token, if the source has a user and has obtained no token yet. It blocks
// as Refresh does, and returns the same errors.
func (s *Source) Ensure(ctx context.Context) error {
	if s.authenticate == nil || s.Generation() != 0 {
		return nil
	}
	return s.Refresh(ctx, 0)
}

// Refresh replaces a refused token. If it returns nil, the request can be tried again. As seen,
// pass the [Source.Generation] that was read before the request.
//
// Refresh returns nil at once in two cases:
//
//   - The current token is of another generation.
//   - The source has neither a user nor a token, as with certificates.
//
// Otherwise Refresh waits for a login, and starts one if none runs. The old token stays in place
// until the new one is there. If the server says that authentication is not enabled, the token is
// dropped and Refresh returns nil. Errors:
//
//   - the error of the login: all calls that wait for the login return it. The token is kept, and
//     the next Refresh logs in again.
//   - ErrStatic for a static token
//   - context.Canceled after Close
//   - the error of ctx if ctx ends first: the login goes on for the other callers.
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

// Renew is Refresh for a stream that will be opened again. It returns nil for a static token,
// because the server may accept that token when the next stream is opened.
func (s *Source) Renew(ctx context.Context, seen uint64) error {
	if err := s.Refresh(ctx, seen); !errors.Is(err, ErrStatic) {
		return err
	}
	return nil
}

// Close ends the login under way, and waits until it has ended. Calls that wait for the login
// return context.Canceled. Requests still carry the token. Close may be called more than once.
func (s *Source) Close() {
	if s.authenticate == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.logins.Wait()
}

// storeLocked makes token the current one. "" means that requests carry no token.
func (s *Source) storeLocked(token string) {
	h := &held{generation: s.Generation() + 1, since: time.Now()}
	if token != "" {
		h.metadata = map[string]string{rpctypes.TokenFieldNameGRPC: token}
	}
	s.current.Store(h)
}

// GetRequestMetadata implements credentials.PerRPCCredentials: it attaches the current token to
// each request, or nothing while there is no token. It never blocks. All requests that carry the
// same token share the returned map, which gRPC only reads.
func (s *Source) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if h := s.current.Load(); h != nil {
		return h.metadata, nil
	}
	return nil, nil
}

// RequireTransportSecurity returns false, because etcd accepts tokens over plain connections too.
func (s *Source) RequireTransportSecurity() bool { return false }

// login is one login and its result.
type login struct {
	done chan struct{} // run closes it when the login has ended
	err  error         // the result; it may be read once done is closed
}

// join returns the login that Refresh must wait for: the one under way, or else a new one. The
// refused token had the generation seen. join returns no login in two cases:
//
//   - The current token is of another generation: the error is nil.
//   - The source is closed: the error is context.Canceled.
func (s *Source) join(seen uint64) (*login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.ctx.Err() != nil:
		return nil, context.Canceled
	case s.Generation() != seen:
		return nil, nil
	case s.pending != nil:
		return s.pending, nil
	}
	f := &login{done: make(chan struct{})}
	s.pending = f
	// The goroutine ends when the login is answered or s.ctx ends. Close waits for the goroutine.
	s.logins.Go(func() { s.run(f) })
	return f, nil
}

// run performs the login. It holds the mutex while it stores the new token and marks the login as
// ended. If a call of join came in between, it could start a needless login.
func (s *Source) run(f *login) {
	token, err := s.authenticate(s.ctx)
	if err == nil && token == "" {
		err = errEmpty
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.storeLocked(token)
	case classify.IsAuthNotEnabled(err):
		s.storeLocked("")
	case s.ctx.Err() != nil:
		f.err = context.Canceled
	default:
		f.err = err
	}
	s.pending = nil
	close(f.done)
}
