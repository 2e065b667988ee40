package concurrency

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

const (
	defaultTTL = 60 // seconds

	// requestTimeout bounds one attempt of a request without a caller's context, so that a member
	// that does not answer delays it only for this long.
	requestTimeout = 5 * time.Second
)

var (
	// errOrphaned is the cause of the end of an orphaned session's context.
	errOrphaned = errors.New("concurrency: the session is orphaned")

	// errClosed is the cause of the end of a closed session's context.
	errClosed = fmt.Errorf("%w: closed", ErrSessionExpired)

	// errNotKept is the reason for the end of a session if the program has replaced the client's
	// Lease by one that does not report why a lease is no longer kept alive.
	errNotKept = errors.New("concurrency: the lease is no longer kept alive")
)

// Session is a lease that is kept alive for as long as the session lives. The keys of locks,
// elections and other recipes are attached to the lease, and are deleted with it when the program
// that holds them dies. All methods are safe for concurrent use.
//
// A session ends when it is closed or orphaned, when its context or its client ends, and when it
// has expired: because the lease was revoked or is unknown to the server, or because no renewal was
// answered for a whole TTL. Calls that wait in its name end with it, unless it is orphaned.
//
// The caller closes a session, or calls Orphan to leave its lease to expire. A copy of a Session is
// that Session. The methods of the zero Session do nothing, its Done returns nil, and locks and
// elections on it fail with [ErrSessionExpired].
type Session struct{ *session }

// session is the state that a Session shares with its copies.
type session struct {
	// read-only after NewSession
	client  *clientv3.Client
	lease   clientv3.LeaseID
	ttl     time.Duration
	granted bool            // this session granted the lease; otherwise WithLease gave it
	nonce   string          // the values of its mutexes' keys begin with it
	base    context.Context // has the values of the session's context, and does not end
	ctx     context.Context
	end     context.CancelCauseFunc // of ctx

	// own synchronisation
	closing    chan struct{} // has a token while Close runs
	revoked    atomic.Bool
	background sync.WaitGroup // added to only with mu held and closed unset

	// guarded by mu
	mu          sync.Mutex
	closed      bool
	cleanUpCtx  context.Context // nil until a key has to be cleaned up
	stopCleanUp context.CancelFunc
	keys        map[string]*key // by name
}

type sessionOptions struct {
	ttl   int
	lease clientv3.LeaseID
	ctx   context.Context
}

// SessionOption changes a session that [NewSession] makes.
type SessionOption func(*sessionOptions, *zap.Logger)

// WithTTL sets the TTL of the session's lease in seconds. The default is 60. A ttl that is not
// positive is ignored, with a warning in the client's log. Servers raise a TTL that is too short
// for them.
func WithTTL(ttl int) SessionOption {
	return func(o *sessionOptions, lg *zap.Logger) {
		if ttl <= 0 {
			lg.Warn("ignored the TTL of a session: it must be positive", zap.Int("ttl", ttl),
				zap.Int("used", o.ttl))
			return
		}
		o.ttl = ttl
	}
}

// WithLease makes the session keep an existing lease alive instead of granting one, for instance
// the lease of a session orphaned by a process that was replaced. NewSession does not check the
// lease: a session on a lease that does not exist expires soon.
//
// Sessions on one lease share their keys. They are one contender for locks and elections. If the
// session's TTL bounds a wait, as in Close, it is that of [WithTTL].
func WithLease(leaseID clientv3.LeaseID) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.lease = leaseID }
}

// WithContext sets the context in which the lease is granted and kept alive: the session ends with
// it, and Ctx returns a child of it. The default is the client's, so that the session ends with the
// client. The end of ctx does not revoke the lease; Close does.
func WithContext(ctx context.Context) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.ctx = ctx }
}

// NewSession grants a lease and keeps it alive. It blocks until the lease is granted or the context
// of [WithContext] ends. Errors are those of Grant and KeepAlive of [clientv3.Lease]. After an
// error of KeepAlive the lease is revoked; if that cannot be done before the context ends, it
// expires by itself.
func NewSession(client *clientv3.Client, opts ...SessionOption) (*Session, error) {
	o := sessionOptions{ttl: defaultTTL, ctx: client.Ctx()}
	for _, opt := range opts {
		opt(&o, client.GetLogger())
	}
	s := &session{
		nonce:   rand.Text(),
		client:  client,
		lease:   o.lease,
		ttl:     seconds(int64(o.ttl)),
		base:    context.WithoutCancel(o.ctx),
		closing: make(chan struct{}, 1),
		keys:    make(map[string]*key),
	}
	var expiry time.Time
	if s.lease == clientv3.NoLease {
		asked := time.Now()
		resp, err := client.Grant(o.ctx, int64(o.ttl))
		if err != nil {
			return nil, err
		}
		s.lease, s.ttl, s.granted = resp.ID, seconds(resp.TTL), true
		expiry = asked.Add(s.ttl)
	}
	s.ctx, s.end = context.WithCancelCause(o.ctx)
	if err := s.keepAlive(expiry); err != nil {
		s.end(err)
		if s.granted {
			_ = s.close(o.ctx)
		}
		return nil, err
	}
	return &Session{s}, nil
}

// seconds returns a TTL as a duration, within the bounds that servers have for TTLs.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(max(ttl, 1), clientv3.MaxLeaseTTL)) * time.Second
}

// keepAlive keeps the lease alive until the session's context ends, and ends the context when the
// lease ends. expiry is the time at which a lease that was just granted expires if it is never
// renewed; it is zero for a lease that was given.
func (s *session) keepAlive(expiry time.Time) error {
	ctx, end := clientv3.WithKeepAliveEnd(s.ctx)
	answers, err := s.client.KeepAlive(ctx, s.lease)
	if err != nil {
		return err
	}
	s.goBackground(func() { s.end(s.awaitExpiry(answers, end, expiry)) })
	return nil
}

// awaitExpiry blocks until the lease or the session ends. It returns why the lease has ended, or
// nil if the session has ended for another reason.
func (s *session) awaitExpiry(
	answers <-chan *clientv3.LeaseKeepAliveResponse, end *clientv3.KeepAliveEnd, expiry time.Time,
) error {
	var expired <-chan time.Time
	if !expiry.IsZero() {
		t := time.NewTimer(time.Until(expiry))
		defer t.Stop()
		expired = t.C
	}
	for {
		select {
		case _, open := <-answers:
			if !open {
				return fmt.Errorf("%w: %w", ErrSessionExpired, cmp.Or(end.Err(), errNotKept))
			}
			expired = nil // KeepAlive has learned the TTL, and will report the expiry
		case <-expired:
			return fmt.Errorf("%w: %w", ErrSessionExpired, clientv3.ErrKeepAliveExpired)
		case <-s.ctx.Done():
			return nil
		}
	}
}

// Client returns the client that the session was made with.
func (s *Session) Client() *clientv3.Client { return s.state().client }

// Lease returns the session's lease.
func (s *Session) Lease() clientv3.LeaseID { return s.state().lease }

// Ctx returns a context that ends with the session. context.Cause returns the reason: for a session
// that has expired, errors.Is finds [ErrSessionExpired] and the reason that [clientv3.KeepAliveEnd]
// has.
//
// The server lets a lease expire no sooner than a TTL after it has received a renewal, and the
// session ends no later than a TTL after it received an answer. A holder that must not act a moment
// too late makes [Mutex.IsOwner] a condition of its writes.
func (s *Session) Ctx() context.Context { return s.state().ctx }

// Done returns a channel that is closed when the session ends. It is the Done channel of Ctx.
func (s *Session) Done() <-chan struct{} { return s.state().ctx.Done() }

// zero is what the methods of the zero Session return.
var zero = &session{ctx: context.Background()} //nolint:forbidigo // it never ends

func (s *Session) state() *session { return cmp.Or(s.session, zero) }

// Orphan ends the session without revoking the lease, and does not block. The lease expires by
// itself unless another client keeps it alive. Locks and elections of the session go on, and learn
// of the lease's end only when the server deletes their keys. From then on a key that was put by a
// request with an unknown outcome is left to the lease, because a session that takes the lease over
// may use that key.
func (s *Session) Orphan() {
	if s.session == nil {
		return
	}
	s.end(errOrphaned)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, k := range s.keys {
		k.Orphan()
		s.cleanLocked(name, k)
		s.changedLocked(name, k)
	}
}

// Close ends the session and revokes its lease, so that the server deletes the keys attached to it.
// It repeats the request while members are unavailable, and returns after the lease's TTL at the
// latest: by then the lease has expired.
//
// Close returns rpctypes.ErrLeaseNotFound if the session had expired before,
// context.DeadlineExceeded if the TTL passes first, and otherwise the error of Revoke of
// [clientv3.Lease], also if the client is closed. After an error Close may be called again. After
// success it does nothing.
func (s *Session) Close() error {
	if s.session == nil {
		return nil
	}
	return s.close(s.base)
}

// close does what Close does, and also ends with ctx.
func (s *session) close(ctx context.Context) error {
	s.end(errClosed)
	ctx, cancel := context.WithTimeout(ctx, s.ttl)
	defer cancel()
	defer context.AfterFunc(s.client.Ctx(), cancel)()
	select {
	case s.closing <- struct{}{}:
		defer func() { <-s.closing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.revoked.Load() {
		return nil
	}
	err := s.revoke(ctx)
	s.revoked.Store(err == nil)
	s.mu.Lock()
	s.closed = true // goBackground does nothing from here on
	if s.stopCleanUp != nil {
		s.stopCleanUp()
	}
	s.mu.Unlock()
	s.background.Wait()
	return err
}

// revoke revokes the lease. It repeats the request until it is answered or refused, and returns the
// error of ctx if that ends first. If a repeated request finds no lease, an earlier request has
// revoked the lease, and revoke returns nil.
func (s *session) revoke(ctx context.Context) error {
	isRepeated := false
	return await.Loop(ctx, nil, func(ctx context.Context) (await.Change, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		_, err := s.client.Revoke(ctx, s.lease)
		if isRepeated && errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil, nil
		}
		isRepeated = true
		return nil, err
	}, func(err error) bool { return ctx.Err() == nil && classify.IsHalt(ctx, err) })
}

// within returns a child of ctx for a call in the session's name. The child also ends with the
// session, with ErrSessionExpired as cause, unless the session is orphaned.
func (s *session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() {
		if s.hasEnded() {
			cancel(ErrSessionExpired)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}

// hasEnded reports whether the session has ended and is not orphaned.
func (s *session) hasEnded() bool {
	return s.ctx.Err() != nil && !errors.Is(context.Cause(s.ctx), errOrphaned)
}

// failure returns the error that a call in the session's name returns if err is the error of a
// request that it made with inner: ctx's own, ErrSessionExpired, or err. inner is the child of ctx
// from within.
func (s *session) failure(ctx, inner context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // err may say more
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// The server's answer comes before a renewal could show it.
		s.end(fmt.Errorf("%w: %w", ErrSessionExpired, err))
	case errors.Is(context.Cause(inner), ErrSessionExpired):
		return ErrSessionExpired
	}
	return err
}

// over returns an error if no call in the session's name may begin, and nil otherwise. If the lease
// is gone, the error is rpctypes.ErrLeaseNotFound: programs compare with it to make a new session.
func (s *session) over() error {
	if s == nil {
		return ErrSessionExpired
	}
	switch cause := context.Cause(s.ctx); {
	case !s.hasEnded():
		return nil
	case errors.Is(cause, ErrSessionExpired) && !errors.Is(cause, errClosed):
		return rpctypes.ErrLeaseNotFound
	}
	return ErrSessionExpired
}
