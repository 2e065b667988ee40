package retry

import (
	"context"
	"net"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// Tokens holds the client's current authentication token, which requests carry. Each token has a
// number, its generation. Package authtoken implements Tokens.
type Tokens interface {
	// Generation returns the generation of the current token, or 0 before there is a token.
	Generation() uint64
	// Fresh reports whether a token was issued so recently that members may not know it yet. The
	// parameter seen is the generation of that token. If it is not the current token, Fresh returns
	// false.
	Fresh(seen uint64) bool
	// Refresh replaces a token that servers refuse. seen is the generation of that token. If it is
	// still the current token, Refresh blocks until there is a new token or ctx ends. Otherwise
	// Refresh does nothing and returns nil. It returns an error if it cannot get another token.
	Refresh(ctx context.Context, seen uint64) error
}

// Config configures a [Conn].
type Config struct {
	// MaxAttempts bounds how often one request is sent. 0 counts as 1.
	MaxAttempts uint
	// Backoff determines how long a request waits before each further attempt.
	Backoff backoff.Policy
	// Endpoints returns the number of endpoints over which the connection spreads requests.
	Endpoints func() int
	// Tokens is nil if requests carry no authentication token.
	Tokens Tokens
	// Life is a context that ends when the client is closed.
	Life context.Context
	// Closed is the error of calls that end because the client is closed.
	Closed error
	// Metadata is a key and a value that are added to the metadata of every request.
	Metadata [2]string
	// Options are added to every call. The caller's options override them. Each call allocates room
	// for three Options and one option of the caller. More options cost another allocation.
	Options []grpc.CallOption
	// AttemptKey, if not nil, is the context key for the attempt object of a call. The balancer
	// asks this object which member to avoid, and tells it which member it has picked.
	AttemptKey any
	// Retrying, if not nil, is called before each wait for another attempt. attempt is the number
	// of attempts that have failed, and err is the error of the latest one. Retrying must not
	// block.
	Retrying func(method string, attempt uint, err error)
}

// Conn is a grpc.ClientConnInterface that retries. It is safe for concurrent use and needs no
// Close.
type Conn struct {
	cc     grpc.ClientConnInterface
	cfg    Config
	header context.Context // holds Config.Metadata as outgoing metadata, and nothing else
}

// New returns a Conn on cc.
func New(cc grpc.ClientConnInterface, cfg Config) *Conn {
	cfg.MaxAttempts = max(cfg.MaxAttempts, 1)
	//nolint:forbidigo // carries metadata; nothing waits on it
	header := metadata.AppendToOutgoingContext(context.Background(), cfg.Metadata[:]...)
	return &Conn{cc: cc, cfg: cfg, header: header}
}

// With waitForReady, a request that finds no connection waits for one until its context ends.
// Without it, such a request would fail.
var waitForReady = grpc.WaitForReady(true)

// attempt is one attempt to send a request. It is the context of that attempt, and it records
// whether the request may have left the client.
type attempt struct {
	context.Context // the context that the caller passed, or one derived from it
	conn            *Conn
	method          string
	avoid           any // the member picked for the previous attempt; nil if none

	peer peer.Peer
	room [6]grpc.CallOption
	opts []grpc.CallOption

	member atomic.Value // the member that the balancer picked; empty before that

	// ObserveSends sets these fields. They are atomic, because an interceptor of the user may call
	// ObserveSends on another goroutine and return before that goroutine is done.
	underWay       atomic.Int32 // number of calls to gRPC that have not returned
	sawPeerOption  atomic.Bool  // a call to gRPC had the option grpc.Peer(&peer)
	lostPeerOption atomic.Bool  // a call to gRPC did not have the option grpc.Peer(&peer)

	policy policy // last, because it would cost padding elsewhere
}

// attemptKey is the context key under which ObserveSends finds the attempt.
type attemptKey struct{}

// Value returns the attempt itself for the keys attemptKey and Config.AttemptKey. For any other key
// it returns the value in the caller's context. If that context has no outgoing metadata, Value
// returns Config.Metadata instead. The attempt is a context itself, because context.WithValue would
// cost another allocation.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) || key == a.conn.cfg.AttemptKey {
		return a
	}
	if v := a.Context.Value(key); v != nil {
		return v
	}
	return a.conn.header.Value(key)
}

// Idempotent reports whether the request may be sent again even if a server may have served it.
func (a *attempt) Idempotent() bool { return a.policy >= read }

// SetMember records m, the member that the balancer picked for this attempt.
func (a *attempt) SetMember(m any) { a.member.Store(m) }

// Avoid returns the member that the balancer picked for the previous attempt, or nil if there is
// none. The balancer prefers another member for this attempt.
func (a *attempt) Avoid() any { return a.avoid }

// again returns another attempt to send the same request. The new attempt avoids the member that
// was picked for a. The parameter callers has the caller's call options.
func (a *attempt) again(ctx context.Context, callers []grpc.CallOption) *attempt {
	next := a.conn.newAttempt(ctx, a.method, a.policy, callers)
	next.avoid = a.member.Load()
	return next
}

// newAttempt returns an attempt at a request. The context of the attempt derives from ctx. The
// parameter callers has the caller's call options. They come last, so they override the other
// options.
func (c *Conn) newAttempt(
	ctx context.Context, method string, p policy, callers []grpc.CallOption,
) *attempt {
	if _, ok := metadata.FromOutgoingContext(ctx); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, c.cfg.Metadata[:]...)
	}
	a := &attempt{
		Context: ctx, conn: c, method: method, policy: p, peer: peer.Peer{Addr: noPeer},
	}
	a.opts = append(a.room[:0], waitForReady, grpc.Peer(&a.peer))
	a.opts = append(a.opts, c.cfg.Options...)
	a.opts = append(a.opts, callers...)
	return a
}

// noPeer is the peer address of an attempt until gRPC sets the real one. It is not nil, because a
// connection of the user's own dialer may have a nil address.
var noPeer net.Addr = &net.UnixAddr{Net: "none"}

// sent reports whether the request may have left the client, or may still leave it. If a connection
// takes the call, gRPC stores the peer's address through the option grpc.Peer before the call ends.
// Without this option there is no proof, and sent returns true.
func (a *attempt) sent() bool {
	return a.underWay.Load() > 0 || a.peer.Addr != noPeer || !a.sawPeerOption.Load() ||
		a.lostPeerOption.Load()
}

// ObserveSends is a unary interceptor for the gRPC connection below a [Conn]. It must be the last
// interceptor, so that it sees what gRPC gets. The Conn sends a write again only if ObserveSends
// proves that no connection took the write.
//
// ObserveSends counts the calls of gRPC that have not returned. It also records whether gRPC got
// the attempt's option grpc.Peer, by which gRPC reports whether a connection took the request.
// There is no proof in these cases:
//   - the gRPC connection lacks ObserveSends
//   - another interceptor removes the attempt's context or options
//   - another interceptor returns before gRPC does
func ObserveSends(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		if i := idempotent(a.Context, a.method); i != nil {
			i.sends.Add(1)
		}
		a.underWay.Add(1)
		defer a.underWay.Add(-1)
		if slices.ContainsFunc(opts, a.isPeerOption) {
			a.sawPeerOption.Store(true)
		} else {
			a.lostPeerOption.Store(true)
		}
	}
	return next(ctx, method, req, reply, cc, opts...)
}

func (a *attempt) isPeerOption(o grpc.CallOption) bool {
	p, ok := o.(grpc.PeerCallOption)
	return ok && p.PeerAddr == &a.peer
}

// Invoke performs a unary call, and sends the request again if the method's policy and the error
// allow that; see the package comment. It blocks until the request has succeeded or finally failed,
// or until ctx or Config.Life has ended.
//
// Invoke returns nil, or one of these errors:
//   - the error of the last attempt
//   - the error of a login for a new token
//   - the error of ctx
//   - Config.Closed
func (c *Conn) Invoke(
	ctx context.Context, method string, args, reply any, opts ...grpc.CallOption,
) error {
	proof, _ := ctx.Value(proofKey{}).(*Proof)
	if proof == nil {
		proof = &Proof{} // no caller reads it; it stays on the stack and costs no allocation
	}
	proof.begun.Add(1)
	if err := c.over(ctx); err != nil {
		proof.unsent.Add(1)
		return err
	}
	seen := c.generation()
	a := c.newAttempt(ctx, method, policyOf(ctx, method, args), opts)
	err := c.cc.Invoke(a, method, args, reply, a.opts...)
	if err == nil {
		return nil
	}
	s := c.newLoop(ctx, a)
	defer s.end()
	for s.shouldRetry(err, a, seen) {
		seen = c.generation()
		a = a.again(s.ctx, opts)
		if err = c.cc.Invoke(a, method, args, reply, a.opts...); err == nil {
			return nil
		}
	}
	if !s.sent {
		proof.unsent.Add(1)
	}
	return s.result
}

// over returns the error of ctx if ctx has ended, Config.Closed if the client is closed, or else
// nil.
func (c *Conn) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.cfg.Life.Err() != nil {
		return c.cfg.Closed
	}
	return nil
}

// generation returns the generation (the number) of the token that requests carry, or 0 if
// Config.Tokens is nil.
func (c *Conn) generation() uint64 {
	if c.cfg.Tokens == nil {
		return 0
	}
	return c.cfg.Tokens.Generation()
}
