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

	// requestTimeout limits each attempt of a request that the session makes by itself, without a
	// caller's context. So a member that does not answer delays such a request for no longer than
	// this.
	requestTimeout = 5 * time.Second
)

var (
	// errOrphaned is the cause with which the session's context ends when Session.Orphan is called.
	errOrphaned = errors.New("concurrency: the session is orphaned")

	// errClosed is the cause with which the session's context ends when Session.Close is called.
	errClosed = fmt.Errorf("%w: closed", ErrSessionExpired)

	// errNotKept is reported as the reason why a session has expired if the lease's own reason is
	// unknown. This happens if the program has replaced the client's Lease by one that reports no
	// reason.
	errNotKept = errors.New("concurrency: the lease is no longer kept alive")
)

// Session is a lease that is kept alive for as long as the session lives. The keys of locks,
// elections and other recipes are attached to the lease. If the program dies, the lease expires,
// and the server deletes the keys with it. All methods are safe for concurrent use.
//
// A session ends in these cases:
//
//   - It is closed or orphaned.
//   - Its context or its client ends.
//   - It expires: the lease was revoked or is unknown to the server, or no renewal was answered for
//     a whole TTL.
//
// When a session ends, calls that are made for it and still wait return an error. If the session is
// orphaned, these calls go on instead.
//
// The caller must call Close, or Orphan if the lease is to live on until it expires. A copy of a
// Session shares the state of the original. The methods of the zero Session do nothing, its Done
// returns nil, and locks and elections on it fail with [ErrSessionExpired].
type Session struct{ *session }

// session is the state that all copies of a Session share.
type session struct {
	// read-only after NewSession
	client  *clientv3.Client
	lease   clientv3.LeaseID
	ttl     time.Duration
	granted bool // NewSession granted the lease; false if WithLease gave it
	// nonce is a random text. Every value that a mutex of the session puts begins with it.
	nonce string
	// base is a context that never ends and carries the values of ctx. Requests after the end of
	// ctx use it.
	base context.Context
	ctx  context.Context
	end  context.CancelCauseFunc // ends ctx

	// safe for concurrent use without mu, except as noted
	closing chan struct{} // full while a call of Close runs, so that a second call waits
	revoked atomic.Bool
	// background counts the session's goroutines. They start only with mu held and while closed is
	// false, so that Close can wait for all of them.
	background sync.WaitGroup

	// guarded by mu
	mu          sync.Mutex
	closed      bool
	cleanUpCtx  context.Context    // context of the cleaners; nil until a key has to be cleaned up
	stopCleanUp context.CancelFunc // ends cleanUpCtx
	keys        map[string]*key    // the keys that the session has to remember, by name
}

type sessionOptions struct {
	ttl   int
	lease clientv3.LeaseID
	ctx   context.Context
}

// SessionOption changes a session that [NewSession] makes.
type SessionOption func(*sessionOptions, *zap.Logger)

// WithTTL sets the TTL of the session's lease in seconds. The default is 60. A ttl that is not
// positive is ignored, with a warning in the client's log. Servers raise a TTL that is below their
// minimum.
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

// WithLease makes the session keep an existing lease alive instead of granting one. An example is
// the lease of a session that an earlier process has orphaned. NewSession does not check that the
// lease exists: if it does not, the session expires soon.
//
// Sessions on the same lease share their keys, and are one contender for locks and elections. Waits
// that are limited by the session's TTL, as in Close, use the TTL of [WithTTL], not that of the
// lease.
func WithLease(leaseID clientv3.LeaseID) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.lease = leaseID }
}

// WithContext sets the context in which the lease is granted and kept alive. The default is the
// client's context. The context that [Session.Ctx] returns is a child of ctx. When ctx ends, the
// session ends, but the lease is not revoked: only Close revokes it.
func WithContext(ctx context.Context) SessionOption {
	return func(o *sessionOptions, _ *zap.Logger) { o.ctx = ctx }
}

// NewSession grants a lease and keeps it alive. It blocks until the lease is granted or the context
// of [WithContext] ends.
//
// Errors are those of Grant and KeepAlive of [clientv3.Lease]. After an error of KeepAlive,
// NewSession revokes the lease. If the context ends before that, the lease expires by itself.
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

// seconds returns a TTL as a duration. A TTL outside of the range that servers allow, from 1 s to
// clientv3.MaxLeaseTTL, is raised or lowered to the nearest end of that range.
func seconds(ttl int64) time.Duration {
	return time.Duration(min(max(ttl, 1), clientv3.MaxLeaseTTL)) * time.Second
}

// keepAlive keeps the lease alive until the session's context ends. It ends that context when the
// lease ends. expiry is the time at which a lease from NewSession expires without any renewal. For
// a lease from WithLease it is zero.
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
			// KeepAlive has learned the lease's TTL from this answer. It will report when the lease
			// expires, so the timer is no longer needed.
			expired = nil
		case <-expired:
			return fmt.Errorf("%w: %w", ErrSessionExpired, clientv3.ErrKeepAliveExpired)
		case <-s.ctx.Done():
			return nil
		}
	}
}

// Client returns the client that the session was made with.
func (s *Session) Client() *clientv3.Client { return s.state().client }

// Lease returns the ID of the session's lease.
func (s *Session) Lease() clientv3.LeaseID { return s.state().lease }

// Ctx returns a context that ends with the session. context.Cause returns the reason. If the
// session has expired, the cause wraps [ErrSessionExpired] and the reason that
// [clientv3.KeepAliveEnd] reports.
//
// The session may end a little later than the lease. The server lets the lease expire at the
// earliest one TTL after it has received a renewal. The session ends at the latest one TTL after
// the client has received the answer to that renewal. So a holder that must never act too late
// makes [Mutex.IsOwner] a condition of its writes.
func (s *Session) Ctx() context.Context { return s.state().ctx }

// Done returns a channel that is closed when the session ends. It is the Done channel of Ctx.
func (s *Session) Done() <-chan struct{} { return s.state().ctx.Done() }

// zero is the state of the zero Session.
var zero = &session{ctx: context.Background()} //nolint:forbidigo // this session never ends

func (s *Session) state() *session { return cmp.Or(s.session, zero) }

// Orphan ends the session without revoking the lease, and does not block. The lease expires by
// itself unless another client keeps it alive. Pending calls of Lock and Campaign continue to wait,
// and the session keeps the locks and leaderships that it has acquired. A pending call, a lock or a
// leadership ends when the server deletes its key.
//
// After Orphan the session no longer deletes the key of a mutex or an election whose put has an
// unknown outcome. The key stays until the lease ends, because another session may take over the
// lease and use the key. Keys that were given to [Session.Discard] are still deleted.
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

// Close ends the session and revokes its lease. The server then deletes the keys that are attached
// to the lease. Close repeats the request while members are unavailable. It returns after the
// lease's TTL at the latest: by then the lease has expired.
//
// Errors:
//
//   - rpctypes.ErrLeaseNotFound if the session had expired before
//   - context.DeadlineExceeded if the TTL passes before the lease is revoked
//   - context.Canceled if the client is closed while Close waits
//   - otherwise the error of Revoke of [clientv3.Lease]
//
// After an error Close may be called again. After a success another call of Close does nothing.
func (s *Session) Close() error {
	if s.session == nil {
		return nil
	}
	return s.close(s.base)
}

// close is Close with a context: it also returns when ctx ends.
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
	s.closed = true // goBackground starts no goroutine after this
	if s.stopCleanUp != nil {
		s.stopCleanUp()
	}
	s.mu.Unlock()
	s.background.Wait()
	return err
}

// revoke revokes the lease. It repeats the request until it succeeds, or until an error that a
// later attempt cannot clear. If ctx ends first, revoke returns the error of ctx.
//
// If a repeated request finds no lease, an earlier request has revoked it, and revoke returns nil.
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

// within returns a child of ctx that also ends when the session ends, with the cause
// ErrSessionExpired. If the session is orphaned, the child goes on. It is the context for requests
// of a call that is made for the session.
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

// failure returns the error of a call that is made for the session, after a request has failed with
// err. This is the error of ctx, ErrSessionExpired, or err. If err says that the lease is gone,
// failure also ends the session.
//
// ctx is the context of the call. inner is the context of the request: ctx or its child from
// s.within.
func (s *session) failure(ctx, inner context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()): // err wraps ctx.Err() and may say more
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// The request has failed because the lease is gone. The next renewal of the lease would
		// show that only later, so end the session here.
		s.end(fmt.Errorf("%w: %w", ErrSessionExpired, err))
	case errors.Is(context.Cause(inner), ErrSessionExpired):
		return ErrSessionExpired
	}
	return err
}

// over returns the error for a call that begins after the session has ended. It returns nil if the
// session lives or is orphaned. If the lease is gone, it returns rpctypes.ErrLeaseNotFound.
// Programs recognize by this error that they need a new session.
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
