package clientv3

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/bidi"
	"go.etcd.io/etcd/client/v3/internal/classify"
	"go.etcd.io/etcd/client/v3/internal/keepalive"
	"go.etcd.io/etcd/client/v3/internal/origin"
)

// LeaseResponseChSize is the capacity, in answers, of the channels that [Lease.KeepAlive] returns.
// KeepAlive reads LeaseResponseChSize without a lock, so set it before the first call of KeepAlive.
var LeaseResponseChSize = 16

var (
	// ErrKeepAliveExpired is the reason why a keepalive channel was closed for lack of an answer:
	// no answer came for the whole TTL of the lease, or the first answer did not come within
	// Config.DialTimeout plus one second. Treat the lease as expired, although a server that could
	// not be reached may still have it.
	ErrKeepAliveExpired = errors.New("etcdclient: no keepalive answer within the lease's TTL")

	// ErrLeaseRevoked is the reason why a keepalive channel was closed if the lease was revoked
	// with the Revoke method of the same Lease. If the lease was revoked elsewhere, the reason is
	// rpctypes.ErrLeaseNotFound.
	ErrLeaseRevoked = errors.New("etcdclient: lease was revoked")
)

// errNoAnswer is the error of a keepalive stream that the server ended with status OK before it
// sent an answer.
var errNoAnswer = status.Error(codes.Unavailable,
	"etcdclient: the keepalive stream ended without an answer")

// ErrKeepAliveHalted is the error of [Lease.KeepAlive] after the Lease has stopped keeping leases
// alive.
type ErrKeepAliveHalted struct {
	// Reason is context.Canceled after Close, the error of the client's context if that context has
	// ended, or the reason why the client cannot open a stream, such as ErrNoAvailableEndpoints.
	Reason error
}

// Error returns a text that includes the Reason, if there is one.
func (e ErrKeepAliveHalted) Error() string {
	const text = "etcdclient: lease keepalives have halted"
	if e.Reason == nil {
		return text
	}
	return text + ": " + e.Reason.Error()
}

// Unwrap returns the Reason, for errors.Is and errors.As.
func (e ErrKeepAliveHalted) Unwrap() error { return e.Reason }

// KeepAliveEnd belongs to one call of [Lease.KeepAlive]. It says until when the lease is certain to
// live, and why the channel that the call returned was closed. [WithKeepAliveEnd] makes a
// KeepAliveEnd. It is safe for concurrent use and need not be released.
type KeepAliveEnd struct {
	reason   atomic.Pointer[error]
	deadline atomic.Pointer[time.Time]
}

// Err returns nil while the channel is open. After the channel was closed, Err returns one of:
//
//   - the error of the context given to KeepAlive, if that context has ended;
//   - [ErrLeaseRevoked], if the lease was revoked with the Revoke method of the same Lease;
//   - rpctypes.ErrLeaseNotFound, if the server says that there is no such lease: it has expired or
//     was revoked elsewhere;
//   - [ErrKeepAliveExpired], if no answer has come for the whole TTL of the lease, or the first
//     answer has not come within Config.DialTimeout plus one second;
//   - rpctypes.ErrNoLeader, if the context was made by [WithRequireLeader] and the member that
//     serves the renewals has no leader;
//   - rpctypes.ErrPermissionDenied, if the server refuses to renew the lease;
//   - an [ErrKeepAliveHalted], if the Lease has stopped keeping leases alive, because it was closed
//     or because the client has no connection.
func (e *KeepAliveEnd) Err() error {
	if reason := e.reason.Load(); reason != nil {
		return *reason
	}
	return nil
}

// Deadline returns the time until which the lease is certain to live, by the monotonic clock of
// this process. It is zero before the first answer, and moves with each answer. A lease that is
// revoked ends before its Deadline.
//
// The Deadline is one TTL after the client sent the latest renewal that was answered. The server
// counts the TTL from the moment when it receives the renewal, so on the server the lease expires
// later.
//
// A program that relies on the lease without asking a server must check that the Deadline has not
// passed. To wait until the channel is closed is not enough: after a pause of the process, the
// program sees the closed channel too late.
func (e *KeepAliveEnd) Deadline() time.Time {
	if deadline := e.deadline.Load(); deadline != nil {
		return *deadline
	}
	return time.Time{}
}

// renewed sets the deadline to ttl seconds after the time sent, unless the deadline is later
// already. It must not be called concurrently for one KeepAliveEnd.
func (e *KeepAliveEnd) renewed(sent time.Time, ttl int64) {
	deadline := sent.Add(time.Duration(min(ttl, MaxLeaseTTL)) * time.Second)
	if deadline.After(e.Deadline()) {
		e.deadline.Store(&deadline)
	}
}

type keepAliveEndKey struct{}

// WithKeepAliveEnd returns a context for one call of [Lease.KeepAlive], and that call's
// KeepAliveEnd. The context also works with a Lease that wraps another one, such as the Lease of
// package namespace. If it is used for several calls, Err returns the reason for the channel that
// was closed first.
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

// makeKeeper sets l.keeper, which renews leases, and l.confirmer. The confirmer acts when a member
// does not know a lease: it asks another member whether the lease exists. l.ctx descends from
// parent. firstTimeout is how long KeepAlive waits for the first answer.
func (l *lessor) makeKeeper(parent context.Context, firstTimeout time.Duration) {
	l.confirmer = keepalive.NewConfirmer(l.ctx, l.servers, &l.target,
		func(id int64, gone bool, left time.Duration) { l.keeper.Confirmed(id, gone, left) })
	dial := l.servers.Dialer(&l.target)
	l.keeper = keepalive.New(l.ctx, keepalive.Config{
		// A member without a leader renews nothing. A stream that requires a leader ends as soon as
		// its member loses the leader, and the keeper opens the next stream on another member.
		Dial: func(ctx context.Context, last error) (keepalive.Stream, error) {
			return dial(WithRequireLeader(ctx), last)
		},
		Link:         bidi.Options{Backoff: keepalive.StreamBackoff},
		FirstTimeout: firstTimeout,
		Expired:      ErrKeepAliveExpired,
		Gone:         rpctypes.ErrLeaseNotFound,
		// Both contexts are checked, because parent may end a moment before its child l.ctx.
		Reason: func(err error) error {
			return toErr(parent, toErr(l.ctx, err))
		},
		Confirm: l.confirmer.Ask,
		Ended:   l.logEnded,
		Halted:  func(cause error) error { return ErrKeepAliveHalted{Reason: cause} },
		Dropped: l.logDropped,
	})
}

// askTTL asks a server for the TTL of a lease and returns the answer. IsInternalRequest is true for
// the context of this request.
func (l *lessor) askTTL(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error) {
	return l.remote.LeaseTimeToLive(origin.Client(ctx), &pb.LeaseTimeToLiveRequest{ID: id})
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
	err := l.keeper.KeepAlive(ctx, int64(id), &s.subscriber, s, requiresLeader(ctx))
	if err != nil {
		s.Close(err)
	}
	return s.ch, err
}

func (l *lessor) KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error) {
	both, stop := await.Join(ctx, l.ctx)
	defer stop()
	resp, err := l.servers.RenewOnce(both, new(balancer.StreamTarget), int64(id))
	if err != nil {
		return nil, l.endErr(ctx, err)
	}
	if resp.GetTTL() <= 0 {
		l.lost(id, rpctypes.ErrLeaseNotFound)
		return nil, rpctypes.ErrLeaseNotFound
	}
	return keepAliveResponse(resp), nil
}

// lost closes the keepalive channels of a lease if err says that the server does not know the
// lease.
func (l *lessor) lost(id LeaseID, err error) {
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		l.keeper.Remove(int64(id), err)
	}
}

// logEnded logs err, the reason why a keepalive stream has ended. If reopen is set, the client
// opens the stream again. The entry is a warning if it does not, or if a server or proxy refused
// the stream, because an operator may have to repair that. Otherwise the entry has debug level.
func (l *lessor) logEnded(err error, reopen bool) {
	limit, level := &l.routineLog, zap.DebugLevel
	if !reopen || classify.IsHalt(l.ctx, err) {
		limit, level = &l.refusalLog, zap.WarnLevel
	}
	text := "lease keepalive stream ended, opening it again"
	if !reopen {
		text = "lease keepalives have halted"
	}
	limit.log(l.logger(), level, text, zap.Error(err))
}

func (l *lessor) logDropped(n int) {
	l.logger().Debug("lease keepalive answers dropped: their channels are full",
		zap.Int("answers", n))
}

// requiresLeader reports whether ctx has the metadata that WithRequireLeader sets.
func requiresLeader(ctx context.Context) bool {
	md, _ := metadata.FromOutgoingContext(ctx)
	values := md.Get(rpctypes.MetadataRequireLeaderKey)
	return len(values) > 0 && values[0] == rpctypes.MetadataHasLeader
}

// keepAliveSink passes answers to the channel of one KeepAlive call. The keeper, which renews the
// leases, calls the sink's methods one at a time. Only these methods send on the channel and close
// it.
type keepAliveSink struct {
	subscriber keepalive.Subscriber
	ch         chan *LeaseKeepAliveResponse
	end        *KeepAliveEnd // nil if KeepAlive's context has no KeepAliveEnd
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

// Close closes the channel. If the lease is gone, Close first drops the unread answers, because a
// late reader would take them for a sign that the lease lives.
func (s *keepAliveSink) Close(reason error) {
	if s.end != nil {
		s.end.reason.CompareAndSwap(nil, &reason)
	}
	gone := errors.Is(reason, ErrLeaseRevoked) || errors.Is(reason, rpctypes.ErrLeaseNotFound) ||
		errors.Is(reason, ErrKeepAliveExpired)
	for gone {
		select {
		case <-s.ch:
		default:
			gone = false
		}
	}
	close(s.ch)
}

func keepAliveResponse(resp *pb.LeaseKeepAliveResponse) *LeaseKeepAliveResponse {
	return &LeaseKeepAliveResponse{ResponseHeader: resp.GetHeader(), ID: LeaseID(resp.GetID()),
		TTL: resp.GetTTL()}
}
