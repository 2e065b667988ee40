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

// Remote sends a client's lease requests to the servers. Its fields must not change once it is in
// use. Its methods are safe for concurrent use.
type Remote struct {
	// Open opens a LeaseKeepAlive stream that lives until ctx ends.
	Open func(ctx context.Context) (Stream, error)
	// TimeToLive asks a server for the TTL of a lease. It must mark the request's context by
	// origin.Client, so that a user's interceptors can tell the request from those of the program.
	TimeToLive func(ctx context.Context, id int64) (*pb.LeaseTimeToLiveResponse, error)
	// Tokens holds the authentication token with which streams are opened.
	Tokens Tokens
	// ProbeMembers starts a health check of each connected member. It does not block.
	ProbeMembers func()
	// NoAnswer is the error of a renewal if the server has ended the stream without an error and
	// without an answer. It must be an error after which RenewOnce tries again.
	NoAnswer error
	// MaxAttempts limits the attempts of RenewOnce. If attempt number MaxAttempts or a later one
	// fails, RenewOnce returns its error. The answer that the lease is gone is no error:
	// maxOnceDoubts limits the attempts after such answers.
	MaxAttempts uint
}

// Tokens keeps an authentication token and replaces it.
type Tokens interface {
	// Generation returns the number of the current token. It changes with each new token.
	Generation() uint64
	// Renew replaces the token with the number seen, if it is still the current one. A client that
	// cannot get another token keeps the old one. Renew then returns nil, because the server may
	// accept the old token for the next stream.
	Renew(ctx context.Context, seen uint64) error
}

// Target chooses the member for each stream of a keeper or of one RenewOnce. These streams are
// opened one after another.
type Target interface {
	// With returns a context for the next stream. A stream with this context is opened on the
	// member that the target chooses.
	With(ctx context.Context) context.Context
	// AvoidLast makes the target choose another member than that of the latest stream, if another
	// member serves.
	AvoidLast()
	// Elsewhere returns a context for a request that goes to another member than that of the latest
	// stream, if another member serves.
	Elsewhere(ctx context.Context) context.Context
}

const (
	// probeDelay is how long RenewOnce waits for an answer before it starts a health check of the
	// members.
	probeDelay = 500 * time.Millisecond
	// onceLinger is how long a server may take to end a stream that RenewOnce has half-closed.
	onceLinger = 500 * time.Millisecond
	// maxRefusedTokens is how many tokens may be refused in one RenewOnce. At the next refusal
	// RenewOnce gives up.
	maxRefusedTokens = 3
	// maxOnceDoubts is how often one RenewOnce doubts a member that says that the lease is gone. It
	// doubts the answer if another member does not confirm it, and tries again. After that many
	// doubts, RenewOnce returns the next such answer without asking another member.
	maxOnceDoubts = 5
)

// OnceBackoff is the wait between two attempts of one call that grants, renews once or revokes a
// lease.
var OnceBackoff = backoff.Policy{Base: 50 * time.Millisecond, Max: 1500 * time.Millisecond,
	Jitter: 0.5}

// StreamBackoff is the wait between two streams of a keeper, if no answer arrived on the first of
// the two. It is short enough to keep leases of a few seconds.
var StreamBackoff = backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// Dialer returns the Dial function for the [Config] of a keeper. The function opens each stream on
// the member that target chooses. After a failed stream or dial, target avoids the member of the
// last stream. After a refused token, the function first gets a new token.
func (r *Remote) Dialer(target Target) func(ctx context.Context, last error) (Stream, error) {
	var generation uint64 // number of the latest stream's token; needs no lock: one Dial at a time
	return func(ctx context.Context, last error) (Stream, error) {
		if errors.Is(last, ErrStalled) {
			r.ProbeMembers() // other requests may be waiting for the silent member, too
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

// RenewOnce renews a lease once and returns the answer. The answer has no TTL if the lease is gone.
// target must be for this call only.
//
// After a wait that follows [OnceBackoff], RenewOnce tries again in these cases:
//   - the member is unavailable
//   - the member refuses the token
//   - the member says that the lease is gone, and another member does not confirm this
//
// RenewOnce returns an error in these cases:
//   - ctx has ended
//   - another attempt would get the same error
//   - more than maxRefusedTokens tokens were refused, or there is no new token for a refused one
//   - the attempts allowed by MaxAttempts have failed
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

// renew opens a stream, renews a lease on it, and returns the answer. If no answer has come after
// probeDelay, renew starts a health check of the members, because the balancer does not notice that
// an answer is missing on a stream.
func (r *Remote) renew(ctx context.Context, id int64) (*pb.LeaseKeepAliveResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.Open(ctx)
	if err != nil {
		return nil, err
	}
	// If Send returns io.EOF, the server has ended the stream, and Recv returns why.
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

// finish half-closes the stream and waits until the server ends it. Servers count cancelled streams
// as failures, so finish cancels the stream only if the server takes longer than onceLinger.
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
