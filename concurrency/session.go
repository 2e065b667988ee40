package concurrency

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	v3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.uber.org/zap"
)

const (
	defaultTTL = 60 // seconds

	// requestTimeout bounds one attempt of a request that is made without a
	// caller's context, so that a silent member does not hold it up for long.
	requestTimeout = 5 * time.Second
)

// repeatBackoff spaces the attempts of what goes on until it succeeds.
var repeatBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: time.Second, Jitter: 0.5}

var (
	// errOrphaned is the cause of the end of an orphaned session's context.
	errOrphaned = errors.New("concurrency: the session is orphaned")

	// errNotKept stands for the reason that a Lease does not give.
	errNotKept = errors.New("concurrency: the lease is no longer kept alive")
)

// Session is a lease that is kept alive for as long as the session lives. The keys
// of locks, elections and other recipes are attached to it, and vanish with it
// when the program that holds them dies. All methods are safe for concurrent use.
//
// A session ends when it is closed or orphaned, when its context or its client
// ends, and when it has expired: because the lease was revoked or unknown to the
// server, or because no renewal was answered for a whole TTL. Calls that wait in
// its name end with it, those of an orphaned one excepted.
//
// Whoever makes a session closes it, or leaves its lease to expire by Orphan.
type Session struct {
	// read-only after NewSession
	client  *v3.Client
	lease   v3.LeaseID
	ttl     time.Duration
	granted bool            // by this session: what is attached to the lease is its own
	base    context.Context // has the values of the session's context, and no end
	ctx     context.Context
	end     context.CancelCauseFunc // of ctx

	// own synchronisation
	closing    chan struct{} // has a token while Close runs
	revoked    atomic.Bool
	background sync.WaitGroup // added to only with mu held and closed unset

	// guarded by mu
	mu         sync.Mutex
	closed     bool
	chores     context.Context // of clean-up; nil until there is some
	stopChores context.CancelFunc
	slots      map[string]*slot // by key
}

type sessionOptions struct {
	ttl   int
	lease v3.LeaseID
	ctx   context.Context
}

// SessionOption changes a session made by [NewSession].
type SessionOption func(*sessionOptions, *zap.Logger)

// WithTTL sets the TTL of the session's lease in seconds. The default is 60. A ttl
// that is not positive is ignored, with a warning in the client's log. Servers raise
// one that is too short for them.
func WithTTL(ttl int) SessionOption {
	return func(o *sessionOptions, lg *zap.Logger) {
		if ttl <= 0 {
			lg.Warn("ignored the TTL of a session: it must be positive", zap.Int("ttl", ttl), zap.Int("used", o.ttl))
			return
		}
		o.ttl = ttl
	}
}

// WithLease has the session keep an existing lease alive instead of one of its own,
// for instance that of a session orphaned by a process that was replaced. The lease
// is not looked at: a session on one that does not exist expires soon.
//
// Sessions on one lease use the same keys. They are one and the same contender for
// locks and elections. Where the session's TTL bounds something, as in Close, it is that
// of [WithTTL].
func WithLease(leaseID v3.LeaseID) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.lease = leaseID }
}

// WithContext sets the context in which the lease is granted and kept alive: the
// session ends with it, and Ctx returns a child of it. The default is the client's,
// so that the session ends with the client. The end of ctx does not revoke the
// lease; Close does.
func WithContext(ctx context.Context) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.ctx = ctx }
}

// NewSession grants a lease and keeps it alive. It blocks until the lease is
// granted or the context of [WithContext] ends. Errors are those of Grant and
// KeepAlive of [v3.Lease]. A lease that was granted is revoked then; where that
// cannot be done before the context ends, it expires by itself.
func NewSession(client *v3.Client, opts ...SessionOption) (*Session, error) {
	o := sessionOptions{ttl: defaultTTL, ctx: client.Ctx()}
	for _, opt := range opts {
		opt(&o, client.GetLogger())
	}
	s := &Session{
		client:  client,
		lease:   o.lease,
		ttl:     seconds(int64(o.ttl)),
		base:    context.WithoutCancel(o.ctx),
		closing: make(chan struct{}, 1),
		slots:   make(map[string]*slot),
	}
	var expiry time.Time
	if s.lease == v3.NoLease {
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
	return s, nil
}

// seconds turns a TTL into a duration, within what a lease can have.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(max(ttl, 1), v3.MaxLeaseTTL)) * time.Second
}

// keepAlive keeps the lease until the session's context ends, and ends that with
// the lease. expiry is when a lease that was just granted expires if it is never
// renewed, and zero for any other.
func (s *Session) keepAlive(expiry time.Time) error {
	ctx, end := v3.WithKeepAliveEnd(s.ctx)
	answers, err := s.client.KeepAlive(ctx, s.lease)
	if err != nil {
		return err
	}
	s.goBackground(func() { s.end(s.follow(answers, end, expiry)) })
	return nil
}

// follow returns why the session has to end, or nil when it has ended.
func (s *Session) follow(answers <-chan *v3.LeaseKeepAliveResponse, end *v3.KeepAliveEnd, expiry time.Time) error {
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
			expired = nil // by now KeepAlive knows the TTL, and watches over it
		case <-expired:
			return fmt.Errorf("%w: %w", ErrSessionExpired, v3.ErrKeepAliveExpired)
		case <-s.ctx.Done():
			return nil
		}
	}
}

// Client returns the client that the session was made with.
func (s *Session) Client() *v3.Client { return s.client }

// Lease returns the session's lease.
func (s *Session) Lease() v3.LeaseID { return s.lease }

// Ctx returns a context that ends with the session. context.Cause tells why: for a
// session that has expired, errors.Is finds [ErrSessionExpired] and the reason that
// [v3.KeepAliveEnd] gives.
//
// The server lets a lease expire no sooner than a TTL after it has received a
// renewal, and the session ends no later than a TTL after it received an answer. A
// holder that must not act a moment too late checks [Mutex.IsOwner] with its writes.
func (s *Session) Ctx() context.Context { return s.ctx }

// Done returns a channel that is closed when the session ends, as Ctx does.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Orphan ends the session without revoking the lease, which expires by itself
// unless something else keeps it alive, and does not wait for anything. Locks and
// elections of the session go on, with no notice of its end but what the server
// does to their keys.
func (s *Session) Orphan() { s.end(errOrphaned) }

// Close ends the session and revokes its lease, upon which the server deletes the
// keys attached to it. It repeats the request while members are unavailable, and
// returns after the lease's TTL at the latest: by then the lease has expired.
//
// The error is rpctypes.ErrLeaseNotFound where the session had expired before, the
// context's after the TTL, or any other of Revoke of [v3.Lease]. After an
// error Close may be called again; after success it does nothing.
func (s *Session) Close() error { return s.close(s.base) }

// close is Close, and also ends with ctx.
func (s *Session) close(ctx context.Context) error {
	s.end(fmt.Errorf("%w: closed", ErrSessionExpired))
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
	s.stop()
	s.background.Wait()
	return err
}

// revoke revokes the lease.
func (s *Session) revoke(ctx context.Context) error {
	for n := 0; ; n++ {
		err := s.revokeOnce(ctx)
		if err == nil || n > 0 && errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return nil
		}
		if classify.IsHalt(ctx, err) || backoff.Wait(ctx, repeatBackoff.Delay(n)) != nil {
			return err
		}
	}
}

func (s *Session) revokeOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := s.client.Revoke(ctx, s.lease)
	return err
}

// within returns ctx for a call in the session's name: it also ends with the
// session, with ErrSessionExpired as cause, unless that ends as an orphan.
func (s *Session) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() {
		if s.hasEnded() {
			cancel(ErrSessionExpired)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}

// hasEnded reports whether the session has ended, other than as an orphan.
func (s *Session) hasEnded() bool {
	return s.ctx.Err() != nil && !errors.Is(context.Cause(s.ctx), errOrphaned)
}

// failure is the error of a call in the session's name, made with ctx, that
// failed with err while it used a context from within.
func (s *Session) failure(ctx, inner context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // it may say more
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(inner), ErrSessionExpired):
		return ErrSessionExpired
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %w", ErrSessionExpired, err)
	}
	return err
}
