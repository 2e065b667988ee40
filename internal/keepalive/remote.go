package keepalive

import (
	"context"
	"errors"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/classify"
)

// Remote is how a client reaches the servers of its leases. Its fields are read-only once it is in
// use; its methods are safe for concurrent use.
type Remote struct {
	// Open opens a LeaseKeepAlive stream that lives until ctx ends.
	Open func(ctx context.Context) (Stream, error)
	// TimeToLive asks a server for the TTL of a lease. The client asks by itself, not its user.
	TimeToLive func(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error)
	// Tokens holds the token that streams are opened with.
	Tokens Tokens
	// ProbeMembers starts a health check of each member that has requests to answer. It does not
	// block.
	ProbeMembers func()
	// NoAnswer is the error of a stream that a server has ended well before it answered. It is one
	// after which the renewal is tried again.
	NoAnswer error
	// MaxAttempts is how many streams RenewOnce may open.
	MaxAttempts uint
}

// Tokens is an authentication token and its replacement.
type Tokens interface {
	// Generation identifies the current token.
	Generation() uint64
	// Renew replaces the token of generation seen. It returns nil if there is nothing to replace:
	// the server may accept the next stream all the same.
	Renew(ctx context.Context, seen uint64) error
}

// Target is the member on which streams are opened, one after another.
type Target interface {
	// With returns a context for the next stream.
	With(ctx context.Context) context.Context
	// AvoidLast has the next streams opened on other members than the latest one.
	AvoidLast()
	// Elsewhere returns a context for a question that the latest stream's member is not to answer.
	Elsewhere(ctx context.Context) context.Context
}

const (
	// probeDelay is how long RenewOnce waits for an answer before the members are probed.
	probeDelay = 500 * time.Millisecond
	// onceLinger is how long a server gets to end a stream that was half-closed.
	onceLinger = 500 * time.Millisecond
	// maxRefusedTokens is how many tokens one RenewOnce may have refused.
	maxRefusedTokens = 3
	// maxOnceDoubts is how often the members may not know a lease that lives.
	maxOnceDoubts = 5
)

// OnceBackoff is the wait between two attempts of one call about a lease.
var OnceBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: 1500 * time.Millisecond,
	Jitter: 0.5}

// StreamBackoff is the wait between two streams of a keeper that bring no answer: short enough to
// keep leases of a few seconds.
var StreamBackoff = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// Dialer returns the Dial of a keeper whose streams are opened on target. A stream that ended
// because of its token is followed by one with a new token.
func (r *Remote) Dialer(target Target) func(ctx context.Context, last error) (Stream, error) {
	var generation uint64 // of the latest stream's token; used by one Dial at a time
	return func(ctx context.Context, last error) (Stream, error) {
		if errors.Is(last, ErrStalled) {
			r.ProbeMembers() // requests may be waiting for that member too
		}
		if last != nil {
			target.AvoidLast()
		}
		if classify.IsAuthRefresh(last) {
			if err := r.Tokens.Renew(ctx, generation); err != nil {
				return nil, err
			}
		}
		generation = r.Tokens.Generation()
		return r.Open(target.With(ctx))
	}
}

// RenewOnce renews a lease once and returns the answer, which has no TTL if the lease is gone. It
// tries again with growing waits, until ctx ends, if a member is unavailable, refuses the token, or
// does not know the lease while another one does. target must not be in use elsewhere.
func (r *Remote) RenewOnce(
	ctx context.Context, target Target, id int64,
) (*pb.LeaseKeepAliveResponse, error) {
	tokens, doubts := 0, 0
	for attempt := 0; ; attempt++ {
		generation := r.Tokens.Generation()
		resp, err := r.renew(target.With(ctx), id)
		switch {
		case err == nil:
			if resp.GetTTL() > 0 || doubts >= maxOnceDoubts {
				return resp, nil
			}
			if gone, _ := r.timeLeft(target.Elsewhere(ctx), id); gone {
				return resp, nil
			}
			doubts++
			target.AvoidLast()
		case classify.IsAuthRefresh(err):
			if tokens++; tokens > maxRefusedTokens || r.Tokens.Renew(ctx, generation) != nil {
				return nil, err
			}
		}
		if err != nil && (classify.IsHalt(ctx, err) || uint(attempt)+1 >= r.MaxAttempts) {
			return nil, err
		}
		if err := backoff.Wait(ctx, OnceBackoff.Delay(attempt)); err != nil {
			return nil, err
		}
	}
}

// renew renews a lease on a stream of its own. The members are probed if the answer takes long,
// because the balancer does not notice that a stream has no answer.
func (r *Remote) renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.Open(ctx)
	if err != nil {
		return nil, err
	}
	// After io.EOF, Recv returns why sending failed.
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil &&
		!errors.Is(err, io.EOF) {
		return nil, err
	}
	late := time.AfterFunc(probeDelay, r.ProbeMembers)
	resp, err := stream.Recv()
	late.Stop()
	switch {
	case errors.Is(err, io.EOF):
		return nil, r.NoAnswer
	case err != nil:
		return nil, err
	}
	finish(stream, cancel)
	return resp, nil
}

// finish lets the server end the stream, because servers count cancelled streams as failures. It
// cancels a stream that the server does not end in time.
func finish(stream Stream, cancel context.CancelFunc) {
	if stream.CloseSend() != nil {
		return
	}
	defer time.AfterFunc(onceLinger, cancel).Stop()
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}
