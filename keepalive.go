package clientv3

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc/metadata"

	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keepalive"
)

// LeaseResponseChSize is the room, in answers, of the channels that
// [Lease.KeepAlive] returns. It is read by each call and not guarded: set it
// before the first.
var LeaseResponseChSize = 16

var (
	// ErrKeepAliveExpired is why a keepalive channel was closed whose lease has
	// had no answer for its whole TTL. The lease has to be taken for expired,
	// although a server that could not be reached may know better.
	ErrKeepAliveExpired = errors.New("etcdclient: no keepalive answer within the lease's TTL")

	// ErrLeaseRevoked is why a keepalive channel was closed whose lease was
	// revoked by the same Lease. For one revoked elsewhere it is
	// rpctypes.ErrLeaseNotFound.
	ErrLeaseRevoked = errors.New("etcdclient: lease was revoked")
)

// ErrKeepAliveHalted is returned by [Lease.KeepAlive] when no lease is kept any
// more.
type ErrKeepAliveHalted struct {
	// Reason is context.Canceled after Close, the error of the client's context
	// if that ended, or why the client can open no stream, such as
	// ErrNoAvailableEndpoints.
	Reason error
}

// Error includes the Reason.
func (e ErrKeepAliveHalted) Error() string {
	const text = "etcdclient: lease keepalives have halted"
	if e.Reason == nil {
		return text
	}
	return text + ": " + e.Reason.Error()
}

// Unwrap returns the Reason, for errors.Is and errors.As.
func (e ErrKeepAliveHalted) Unwrap() error { return e.Reason }

// KeepAliveEnd tells until when the lease of one [Lease.KeepAlive] call is certain
// to live, and why the call's channel was closed.
// [WithKeepAliveEnd] makes one. It is safe for concurrent use and need not be
// released.
type KeepAliveEnd struct {
	reason   atomic.Pointer[error]
	deadline atomic.Pointer[time.Time]
}

// Err returns nil while the channel is open, and as soon as a reader can see it
// closed one of:
//
//   - the error of the context given to KeepAlive, which ended;
//   - [ErrLeaseRevoked], where the same Lease revoked it;
//   - rpctypes.ErrLeaseNotFound, where the server says that there is no such
//     lease: it has expired or was revoked elsewhere;
//   - [ErrKeepAliveExpired], where no answer has come in time;
//   - rpctypes.ErrNoLeader, for a context made by [WithRequireLeader];
//   - rpctypes.ErrPermissionDenied, where the server refuses to renew the lease;
//   - an [ErrKeepAliveHalted], where no lease is kept any more, because of Close
//     or because the client has no connection.
func (e *KeepAliveEnd) Err() error {
	if reason := e.reason.Load(); reason != nil {
		return *reason
	}
	return nil
}

// Deadline returns until when the lease is certain to live, by the monotonic clock
// of this process: its TTL after the last renewal that was answered had been sent.
// Servers count from when they receive a renewal, so they let the lease expire
// later than that. It is zero before the first answer, and moves with each.
//
// A program that acts on what the lease protects, without asking a server, must check
// that this time has not come: a channel that is closed tells it too late to a
// process that was paused. A lease that is revoked ends sooner.
func (e *KeepAliveEnd) Deadline() time.Time {
	if deadline := e.deadline.Load(); deadline != nil {
		return *deadline
	}
	return time.Time{}
}

// renewed moves the deadline. Sinks of one KeepAliveEnd are called one at a time.
func (e *KeepAliveEnd) renewed(sent time.Time, ttl int64) {
	deadline := sent.Add(time.Duration(min(ttl, MaxLeaseTTL)) * time.Second)
	if deadline.After(e.Deadline()) {
		e.deadline.Store(&deadline)
	}
}

type keepAliveEndKey struct{}

// WithKeepAliveEnd returns a context for one call of [Lease.KeepAlive], and what
// will tell why the channel returned by that call was closed. Wrappers of a
// Lease, such as that of package namespace, need not know of it. If the context
// is used for more calls, the first channel to close decides.
//
//	ctx, end := clientv3.WithKeepAliveEnd(ctx)
//	ch, err := client.KeepAlive(ctx, id)
//	...
//	for range ch {
//	}
//	log.Printf("lease %x is no longer kept: %v", id, end.Err())
func WithKeepAliveEnd(ctx context.Context) (context.Context, *KeepAliveEnd) {
	end := &KeepAliveEnd{}
	return context.WithValue(ctx, keepAliveEndKey{}, end), end
}

// lessor is the Lease of a client.
type lessor struct {
	// Read-only after New.
	remote      pb.LeaseClient
	tokens      *authtoken.Source // nil: none to renew
	logger      func() *zap.Logger
	members     *balancer.Tracker // nil: none to put to the test
	maxAttempts uint
	choosesIDs  bool            // of the leases that it grants
	ctx         context.Context // ends with Close
	cancel      context.CancelFunc
	keeper      *keepalive.Keeper

	// Own synchronisation.
	routineLog, refusalLog everySecond
	confirmations          confirmations

	place balancer.StreamTarget // of the keepalive streams

	// Used by one call of dial at a time.
	dialled uint64 // generation of the token that the last stream was opened with
}

// defaultFirstTimeout is how long the first answer may take where the caller
// gives no more than the second that belongs on top of a dial timeout.
const defaultFirstTimeout = 5 * time.Second

// keepAliveBackoff spaces streams that bring no answer, close enough to keep
// leases of a few seconds.
var keepAliveBackoff = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// NewLease returns another Lease on c's connection than the one that c embeds. It
// is closed by its owner, and ends with c in any case.
func NewLease(c *Client) Lease {
	l := newLessor(RetryLeaseClient(c), c, addDurations(c.cfg.dialTimeout(), time.Second))
	l.choosesIDs = true
	return l
}

// NewLeaseFromLeaseClient returns a Lease on a protobuf stub, such as one that
// leads to a server in the same process. keepAliveTimeout is how long
// [Lease.KeepAlive] waits for the first answer; a second or less means 5
// seconds. The Lease ends with c, which may be nil.
func NewLeaseFromLeaseClient(
	remote pb.LeaseClient, c *Client, keepAliveTimeout time.Duration,
) Lease {
	return newLessor(remote, c, keepAliveTimeout)
}

func newLessor(remote pb.LeaseClient, c *Client, keepAliveTimeout time.Duration) *lessor {
	if keepAliveTimeout <= time.Second {
		keepAliveTimeout = defaultFirstTimeout
	}
	l := &lessor{remote: remote, logger: zap.NewNop, maxAttempts: defaultMaxAttempts}
	parent := context.Background() //nolint:forbidigo // of a Lease without a client
	if c.made() {
		parent, l.tokens, l.logger, l.members = c.ctx, c.tokens, c.GetLogger, c.table
		if c.cfg.MaxUnaryRetries > 0 {
			l.maxAttempts = c.cfg.MaxUnaryRetries
		}
	}
	l.ctx, l.cancel = context.WithCancel(parent)
	l.keeper = keepalive.New(l.ctx, keepalive.Config{
		Dial:         l.dial,
		Link:         bidi.Options{Backoff: keepAliveBackoff},
		FirstTimeout: keepAliveTimeout,
		Expired:      ErrKeepAliveExpired,
		Gone:         rpctypes.ErrLeaseNotFound,
		Reason: func(err error) error { // the parent's end is there before it has reached l.ctx
			return toErr(parent, toErr(l.ctx, err))
		},
		Confirm: l.confirm,
		Ended:   l.logEnded,
		Halted:  func(cause error) error { return ErrKeepAliveHalted{Reason: cause} },
		Dropped: l.logDropped,
	})
	return l
}

func (l *lessor) KeepAlive(
	ctx context.Context, id LeaseID,
) (<-chan *LeaseKeepAliveResponse, error) {
	s := &keepAliveSink{ch: make(chan *LeaseKeepAliveResponse, max(LeaseResponseChSize, 0))}
	s.end, _ = ctx.Value(keepAliveEndKey{}).(*KeepAliveEnd)
	if err := ctx.Err(); err != nil {
		s.Close(err)
		return s.ch, nil
	}
	if err := l.keeper.KeepAlive(ctx, int64(id), s, requiresLeader(ctx)); err != nil {
		s.Close(err)
		return s.ch, err
	}
	return s.ch, nil
}

func (l *lessor) Close() error {
	l.cancel()
	l.keeper.Close(context.Canceled)
	l.confirmations.workers.Wait()
	return nil
}

// lost closes the channels of a lease that the server does not know.
func (l *lessor) lost(id LeaseID, err error) {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		l.keeper.Remove(int64(id), err)
	}
}

// dial opens the next stream for the keeper, with a new token if the last
// stream ended for want of one. A member without leader can renew nothing, so
// the stream requires one: it ends, and the next member is asked, as soon as
// the leader is lost and not when a renewal has been waiting for long.
func (l *lessor) dial(ctx context.Context, last error) (keepalive.Stream, error) {
	if errors.Is(last, keepalive.ErrStalled) {
		l.members.ProbeAll() // requests may be waiting for that member too
	}
	if last != nil {
		l.place.AvoidLast()
	}
	if classify.IsAuthRefresh(last) {
		if err := l.renewToken(ctx, l.dialled); err != nil {
			return nil, err
		}
	}
	l.dialled = l.generation()
	stream, err := l.remote.LeaseKeepAlive(WithRequireLeader(l.place.With(ctx)))
	if err != nil {
		return nil, err
	}
	return stream, nil
}

func (l *lessor) generation() uint64 {
	if l.tokens == nil {
		return 0
	}
	return l.tokens.Generation()
}

// renewToken replaces the token of the given generation. Without one that can
// be replaced it does nothing: the cluster may change its mind.
func (l *lessor) renewToken(ctx context.Context, seen uint64) error {
	if l.tokens == nil {
		return nil
	}
	if err := l.tokens.Refresh(ctx, seen); !errors.Is(err, authtoken.ErrStatic) {
		return err
	}
	return nil
}

// logEnded tells why a stream has ended. What any member or network does now and then is
// for debugging; a refusal concerns the operator of the cluster or proxy.
func (l *lessor) logEnded(err error, reopen bool) {
	limit, level := &l.routineLog, zap.DebugLevel
	if !reopen || classify.IsHalt(l.ctx, err) {
		limit, level = &l.refusalLog, zap.WarnLevel
	}
	lg := l.logger()
	if !lg.Core().Enabled(level) {
		return
	}
	if ok, denied := limit.allow(time.Now()); ok {
		text := "lease keepalive stream ended, opening it again"
		if !reopen {
			text = "lease keepalives have halted"
		}
		lg.Log(level, text, zap.Error(err), zap.Int64("not-logged", denied))
	}
}

func (l *lessor) logDropped(n int) {
	l.logger().Debug("lease keepalive answers dropped: their channels are full",
		zap.Int("answers", n))
}

// requiresLeader tells whether ctx was made by WithRequireLeader.
func requiresLeader(ctx context.Context) bool {
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return false
	}
	values := md.Get(rpctypes.MetadataRequireLeaderKey)
	return len(values) > 0 && values[0] == rpctypes.MetadataHasLeader
}

// keepAliveSink is the channel of one KeepAlive call. Its methods are the
// channel's only sender and only closer; the keeper calls them one at a time.
type keepAliveSink struct {
	ch  chan *LeaseKeepAliveResponse
	end *KeepAliveEnd // nil unless asked for
}

func (s *keepAliveSink) Deliver(resp *pb.LeaseKeepAliveResponse, sent time.Time) bool {
	if s.end != nil && !sent.IsZero() {
		s.end.renewed(sent, resp.GetTTL())
	}
	select {
	case s.ch <- keepAliveResponse(resp):
		return true
	default:
		return false
	}
}

// Close drops the unread answers for a lease that is gone: an answer read
// now would say that it lives.
func (s *keepAliveSink) Close(reason error) {
	if s.end != nil {
		s.end.reason.CompareAndSwap(nil, &reason)
	}
	for gone := leaseGone(reason); gone; {
		select {
		case <-s.ch:
		default:
			gone = false
		}
	}
	close(s.ch)
}

// leaseGone tells whether a lease that was closed for this reason lives no more.
func leaseGone(reason error) bool {
	return errors.Is(reason, ErrLeaseRevoked) || errors.Is(reason, rpctypes.ErrLeaseNotFound) ||
		errors.Is(reason, ErrKeepAliveExpired)
}

func keepAliveResponse(resp *pb.LeaseKeepAliveResponse) *LeaseKeepAliveResponse {
	return &LeaseKeepAliveResponse{ResponseHeader: resp.GetHeader(), ID: LeaseID(resp.GetID()),
		TTL: resp.GetTTL()}
}
