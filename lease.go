package clientv3

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"

	"go.etcd.io/etcd/client/v3/internal/authtoken"
	"go.etcd.io/etcd/client/v3/internal/await"
	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/keepalive"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// LeaseID identifies a lease. The zero value is [NoLease].
type LeaseID int64

const (
	// NoLease is the LeaseID of keys without a lease, which live until they are deleted.
	NoLease LeaseID = 0

	// MaxLeaseTTL is the longest TTL that servers grant, in seconds.
	MaxLeaseTTL = 9000000000
)

// LeaseGrantResponse is the answer to [Lease.Grant].
type LeaseGrantResponse struct {
	*pb.ResponseHeader

	// ID identifies the new lease.
	ID LeaseID

	// TTL is the time to live that the server granted, in seconds. It may be longer than the TTL
	// that was asked for.
	TTL int64

	// Error is the field "error" of the protocol's message. Servers leave it empty.
	Error string
}

// LeaseRevokeResponse is the answer to [Lease.Revoke].
type LeaseRevokeResponse pb.LeaseRevokeResponse

// LeaseKeepAliveResponse is the answer to one renewal of a lease.
type LeaseKeepAliveResponse struct {
	*pb.ResponseHeader

	// ID identifies the lease that was renewed.
	ID LeaseID

	// TTL is the time to live of the lease after the renewal, in seconds. It is more than 0.
	TTL int64
}

// LeaseTimeToLiveResponse is the answer to [Lease.TimeToLive].
type LeaseTimeToLiveResponse struct {
	*pb.ResponseHeader

	// ID identifies the lease that was asked about.
	ID LeaseID `json:"id"`

	// TTL is the time that the lease has left, in whole seconds, or -1 if there is no such lease.
	TTL int64 `json:"ttl"`

	// GrantedTTL is the TTL that the server granted, in seconds. Each renewal resets the time that
	// the lease has left to GrantedTTL.
	GrantedTTL int64 `json:"granted-ttl"`

	// Keys are the keys attached to the lease, if [WithAttachedKeys] was given.
	Keys [][]byte `json:"keys"`
}

// LeaseStatus names one lease.
type LeaseStatus struct {
	// ID identifies the lease.
	ID LeaseID `json:"id"`
}

// LeaseLeasesResponse is the answer to [Lease.Leases].
type LeaseLeasesResponse struct {
	*pb.ResponseHeader

	// Leases are all leases of the cluster. The lease that expires first comes first.
	Leases []LeaseStatus `json:"leases"`
}

// Lease grants leases, keeps them alive and revokes them. When a lease expires or is revoked, the
// server deletes the keys attached to it by [WithLease]. All methods are safe for concurrent use.
//
// Unless its documentation says otherwise, a method sends one request and blocks until the request
// is answered or the context ends. All calls end when the client is closed.
//
// If the context has ended, the error of a call is the error of the context. Other errors are
// errors of package rpctypes, which can be compared with errors.Is, or gRPC statuses.
type Lease interface {
	// Grant makes a lease that expires after ttl seconds unless it is kept alive. The server raises
	// a ttl that is too short; the response holds the TTL that was granted. Errors:
	// rpctypes.ErrLeaseTTLTooLarge for a ttl over [MaxLeaseTTL].
	//
	// A call of Grant makes at most one lease. The client chooses the id of the lease, so the
	// request can be sent again, like a read, if a member is unavailable or an answer is lost. A
	// Lease made by [NewLeaseFromLeaseClient] lets the server choose the id, and sends the request
	// only once. If Grant returns an error, a lease may nevertheless exist until its TTL has
	// passed.
	Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error)

	// Revoke ends a lease and deletes its keys. It also closes the channels that this Lease's
	// KeepAlive returned for the lease (see [ErrLeaseRevoked]). The request is sent again only if
	// it is certain that no member applied it. Errors: rpctypes.ErrLeaseNotFound if there is no
	// such lease.
	Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error)

	// TimeToLive returns how much time a lease has left. If there is no such lease, the TTL is -1
	// and there is no error. The request is sent again to other members if a member is unavailable.
	TimeToLive(
		ctx context.Context, id LeaseID, opts ...LeaseOption,
	) (*LeaseTimeToLiveResponse, error)

	// Leases returns all leases of the cluster. The request is sent again to other members if a
	// member is unavailable.
	Leases(ctx context.Context) (*LeaseLeasesResponse, error)

	// KeepAlive keeps a lease alive until ctx ends. It does not block. It returns a channel that
	// delivers the answer to each renewal. The first renewal is sent at once, and each later one
	// about a third of the granted TTL after the previous one. If members are down or silent,
	// renewals go to another member.
	//
	// The channel is closed if and only if one of the following happens:
	//
	//   - ctx has ended;
	//   - the lease has expired or was revoked;
	//   - no answer has come for the whole TTL of the lease, or the first answer has not come
	//     within Config.DialTimeout plus one second;
	//   - ctx was made by [WithRequireLeader], and the member that serves the renewals has no
	//     leader;
	//   - the server refuses to renew this lease;
	//   - the Lease or its client is closed, or the client has no connection. KeepAlive returns a
	//     closed channel and [ErrKeepAliveHalted] from then on.
	//
	// [KeepAliveEnd.Err] returns the reason. Only [ErrLeaseRevoked] and rpctypes.ErrLeaseNotFound
	// mean that the lease is gone; for any other reason it may still exist.
	//
	// If the stream of the renewals ends for another reason, no channel is closed. The client opens
	// the stream again after growing waits, and logs why it ended, at most once a second. If the
	// answer to the first renewal says that the lease is gone, the client asks another member. It
	// closes the channel only if that member confirms that the lease is gone.
	//
	// The channel has room for [LeaseResponseChSize] answers. If the channel is full, an answer is
	// dropped; the lease is renewed even if no answer is read. When the lease has expired or was
	// revoked, unread answers are dropped, too: a late reader would take them for a sign that the
	// lease lives.
	//
	// Calls for one lease share its renewals. Each call ends with its own context. When all calls
	// for a lease have ended, the lease is not renewed any more. All renewals share one stream, so
	// outgoing metadata of ctx has no effect, except that of [WithRequireLeader].
	KeepAlive(ctx context.Context, id LeaseID) (<-chan *LeaseKeepAliveResponse, error)

	// KeepAliveOnce renews a lease once, and blocks until the renewal is answered or ctx ends. It
	// opens a stream for this one renewal, with ctx's metadata. While members are unavailable, it
	// sends the request again with growing waits. After Config.MaxUnaryRetries attempts it returns
	// the status of the last attempt. Errors: rpctypes.ErrLeaseNotFound if there is no such lease.
	KeepAliveOnce(ctx context.Context, id LeaseID) (*LeaseKeepAliveResponse, error)

	// Close ends all KeepAlive and KeepAliveOnce calls, closes the channels that KeepAlive
	// returned, and waits until all goroutines of the Lease have ended. It does not revoke leases;
	// they expire. It may be called more than once. A Client closes the Lease that it embeds.
	Close() error
}

// LeaseOp holds the settings that the options of a [Lease.TimeToLive] call have made.
type LeaseOp struct {
	attachedKeys bool
}

// LeaseOption is an option of [Lease.TimeToLive].
type LeaseOption func(*LeaseOp)

// WithAttachedKeys makes [Lease.TimeToLive] return the keys attached to the lease.
func WithAttachedKeys() LeaseOption {
	return func(op *LeaseOp) { op.attachedKeys = true }
}

// lessor is the Lease of a client.
type lessor struct {
	// read-only after newLessor
	remote     pb.LeaseClient
	logger     func() *zap.Logger
	choosesIDs bool            // Grant, not the server, chooses the id of a new lease
	ctx        context.Context // ends when the Lease or its client is closed
	cancel     context.CancelFunc
	servers    *keepalive.Remote
	keeper     *keepalive.Keeper
	confirmer  *keepalive.Confirmer

	// safe for concurrent use
	routineLog, refusalLog everySecond
	target                 balancer.StreamTarget // says which member serves the keeper's streams
}

// defaultFirstTimeout is how long KeepAlive waits for the first answer if the program gives
// NewLeaseFromLeaseClient a timeout of a second or less.
const defaultFirstTimeout = 5 * time.Second

// NewLease returns a new Lease on the connection of c, separate from the Lease that c embeds. The
// caller must close the new Lease. Closing c ends it as well.
func NewLease(c *Client) Lease {
	l := newLessor(RetryLeaseClient(c), c, firstTimeout(c.cfg.DialTimeout))
	l.choosesIDs = true
	return l
}

// firstTimeout returns how long KeepAlive waits for the first answer: one second longer than the
// client's dial timeout, which is the parameter dial. If the sum would overflow, firstTimeout
// returns the longest duration.
func firstTimeout(dial time.Duration) time.Duration {
	return min(dial, math.MaxInt64-time.Second) + time.Second
}

// NewLeaseFromLeaseClient returns a Lease that sends its requests through remote, such as a stub of
// a server in the same process. keepAliveTimeout is how long [Lease.KeepAlive] waits for the first
// answer; a second or less means 5 seconds. If c is not nil, the calls of the Lease end when c is
// closed.
func NewLeaseFromLeaseClient(
	remote pb.LeaseClient, c *Client, keepAliveTimeout time.Duration,
) Lease {
	return newLessor(remote, c, keepAliveTimeout)
}

func newLessor(remote pb.LeaseClient, c *Client, keepAliveTimeout time.Duration) *lessor {
	if keepAliveTimeout <= time.Second {
		keepAliveTimeout = defaultFirstTimeout
	}
	l := &lessor{remote: remote, logger: zap.NewNop}
	open := func(ctx context.Context) (keepalive.Stream, error) {
		return remote.LeaseKeepAlive(ctx)
	}
	l.servers = &keepalive.Remote{Open: open, TimeToLive: l.askTTL, NoAnswer: errNoAnswer,
		Tokens: new(authtoken.Source), ProbeMembers: func() {}, MaxAttempts: defaultMaxAttempts}
	parent := context.Background() //nolint:forbidigo // the parent for a Lease without a client
	if c.made() {
		parent, l.logger, l.servers.ProbeMembers = c.ctx, c.GetLogger, c.tracker.ProbeAll
		if c.tokens != nil {
			l.servers.Tokens = c.tokens
		}
		l.servers.MaxAttempts = cmp.Or(c.cfg.MaxUnaryRetries, defaultMaxAttempts)
	}
	l.ctx, l.cancel = context.WithCancel(parent)
	l.makeKeeper(parent, keepAliveTimeout)
	return l
}

// maxTakenIDs is how many ids Grant tries. Grant fails if each of these ids belongs to another
// lease.
const maxTakenIDs = 3

func (l *lessor) Grant(ctx context.Context, ttl int64) (*LeaseGrantResponse, error) {
	resp, err := l.grant(ctx, ttl)
	if err != nil {
		return nil, toErr(ctx, err)
	}
	return &LeaseGrantResponse{
		ResponseHeader: resp.GetHeader(),
		ID:             LeaseID(resp.GetID()),
		TTL:            resp.GetTTL(),
		Error:          resp.GetError(),
	}, nil
}

// grant makes one lease and returns the answer. If the server chooses the id, the request is sent
// once, because a second request could make a second lease. If the client chooses the id, the
// request may be sent again like a read, because servers grant each id only once.
//
// If an attempt makes the lease but its answer is lost, the server refuses the next attempt,
// because the id is taken. Then grant asks the server for the TTL.
func (l *lessor) grant(ctx context.Context, ttl int64) (*pb.LeaseGrantResponse, error) {
	if !l.choosesIDs {
		return l.remote.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl})
	}
	req, mark := &pb.LeaseGrantRequest{ID: newLeaseID(), TTL: ttl}, new(retry.Idempotent)
	taken := 0
	for attempt := 0; ; attempt++ {
		resp, err := l.remote.LeaseGrant(mark.With(ctx), req)
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseExist) {
			return resp, err
		}
		if mark.SentOnce() { // the server refused the only attempt: another lease has the id
			if taken++; taken >= maxTakenIDs {
				return nil, err
			}
			req, mark = &pb.LeaseGrantRequest{ID: newLeaseID(), TTL: ttl}, new(retry.Idempotent)
			continue
		}
		if resp, err := l.granted(ctx, req.ID); resp != nil || err != nil {
			return resp, err
		}
		if uint(attempt)+1 >= l.servers.MaxAttempts {
			return nil, err
		}
		if err := l.wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// granted makes the response to a LeaseGrant request whose answer was lost. An earlier attempt has
// made the lease with the given id. To fill in the TTL, granted asks the server for it. If the
// lease has expired or is about to expire, the response is nil.
func (l *lessor) granted(ctx context.Context, id int64) (*pb.LeaseGrantResponse, error) {
	left, err := l.askTTL(ctx, id)
	if err != nil || left.GetTTL() <= 0 {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: left.GetHeader(), ID: id, TTL: left.GetGrantedTTL()}, nil
}

// wait pauses before another attempt of Grant. The pause grows with the parameter attempt, which
// counts from 0. If ctx ends or the lessor is closed during the pause, wait returns an error.
func (l *lessor) wait(ctx context.Context, attempt int) error {
	both, stop := await.Join(ctx, l.ctx)
	defer stop()
	if err := backoff.Wait(both, keepalive.OnceBackoff.Delay(attempt)); err != nil {
		return l.endErr(ctx, err)
	}
	return nil
}

// newLeaseID returns a random id between 1 and the largest int64. Servers choose lease ids from the
// same range.
func newLeaseID() int64 {
	return 1 + rand.Int64N(math.MaxInt64)
}

func (l *lessor) Revoke(ctx context.Context, id LeaseID) (*LeaseRevokeResponse, error) {
	resp, err := unary(ctx, l.remote.LeaseRevoke, &pb.LeaseRevokeRequest{ID: int64(id)})
	if err != nil {
		l.lost(id, err)
		return nil, err
	}
	l.keeper.Remove(int64(id), ErrLeaseRevoked)
	return (*LeaseRevokeResponse)(resp), nil
}

func (l *lessor) TimeToLive(
	ctx context.Context, id LeaseID, opts ...LeaseOption,
) (*LeaseTimeToLiveResponse, error) {
	var op LeaseOp
	for _, opt := range opts {
		opt(&op)
	}
	resp, err := unary(ctx, l.remote.LeaseTimeToLive,
		&pb.LeaseTimeToLiveRequest{ID: int64(id), Keys: op.attachedKeys})
	if err != nil {
		return nil, err
	}
	return &LeaseTimeToLiveResponse{
		ResponseHeader: resp.GetHeader(),
		Keys:           resp.Keys,
		GrantedTTL:     resp.GrantedTTL,
		TTL:            resp.TTL,
		ID:             LeaseID(resp.ID),
	}, nil
}

func (l *lessor) Leases(ctx context.Context) (*LeaseLeasesResponse, error) {
	resp, err := unary(ctx, l.remote.LeaseLeases, &pb.LeaseLeasesRequest{})
	if err != nil {
		return nil, err
	}
	leases := make([]LeaseStatus, 0, len(resp.Leases))
	for _, status := range resp.Leases {
		leases = append(leases, LeaseStatus{ID: LeaseID(status.GetID())})
	}
	return &LeaseLeasesResponse{ResponseHeader: resp.GetHeader(), Leases: leases}, nil
}

// Close closes the keeper before it waits for the confirmer, because an open keeper could still
// give work to the confirmer.
func (l *lessor) Close() error {
	l.cancel()
	l.keeper.Close(context.Canceled)
	l.confirmer.Wait()
	return nil
}

// endErr returns the error of a call that failed with err: errClosing if the call ended because l
// or its client was closed, and otherwise err converted by toErr.
func (l *lessor) endErr(ctx context.Context, err error) error {
	if ctx.Err() == nil && l.ctx.Err() != nil {
		return errClosing
	}
	return toErr(ctx, err)
}
