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

// Tokens holds the client's authentication token. Package authtoken has an implementation.
type Tokens interface {
	// Generation returns the number of the current token, which requests carry.
	Generation() uint64
	// Fresh reports whether the token of generation seen is the current one, and so new that
	// members may not know it yet.
	Fresh(seen uint64) bool
	// Refresh replaces the token of generation seen, if that is still the current one. It returns
	// an error if there is no other token.
	Refresh(ctx context.Context, seen uint64) error
}

// Config configures a [Conn].
type Config struct {
	// MaxAttempts bounds how often one request is sent. 0 counts as 1.
	MaxAttempts uint
	// Backoff has the waits between attempts.
	Backoff backoff.Policy
	// Endpoints returns the number of endpoints that the connection spreads requests over.
	Endpoints func() int
	// Tokens is nil if requests carry no token that can be replaced.
	Tokens Tokens
	// Life ends when the client is closed.
	Life context.Context
	// Closed is the error of calls that end because the client is closed.
	Closed error
	// Metadata is a key and a value that are added to the metadata of every request.
	Metadata [2]string
	// Options, at most three, are the options of every call. The caller's options override them.
	Options []grpc.CallOption
	// AttemptKey, if not nil, is the key under which the balancer finds the attempt in its context.
	AttemptKey any
	// Retrying, if not nil, is called before each wait for another attempt. It must not block.
	Retrying func(method string, attempt uint, err error)
}

// Conn is a grpc.ClientConnInterface that retries. It is safe for concurrent use and needs no
// Close.
type Conn struct {
	cc     grpc.ClientConnInterface
	cfg    Config
	header context.Context // holds only Config.Metadata
}

// New returns a Conn on cc.
func New(cc grpc.ClientConnInterface, cfg Config) *Conn {
	cfg.MaxAttempts = max(cfg.MaxAttempts, 1)
	//nolint:forbidigo // carries metadata; nothing waits on it
	header := metadata.AppendToOutgoingContext(context.Background(), cfg.Metadata[:]...)
	return &Conn{cc: cc, cfg: cfg, header: header}
}

// waitForReady makes an attempt wait for a connection until its context ends. Without it, an
// attempt would fail while no endpoint is connected.
var waitForReady = grpc.WaitForReady(true)

// attempt is one attempt to send a request. It is the context of that attempt, and it records
// whether a connection took the attempt.
type attempt struct {
	context.Context // the call's
	conn            *Conn
	method          string
	avoid           any // the member that was picked for the previous attempt; may be nil

	peer peer.Peer
	room [6]grpc.CallOption
	opts []grpc.CallOption

	member atomic.Value // the member that was picked; empty if there is none

	// Set by ObserveSends, which interceptors may call on goroutines that they do not wait for.
	underWay       atomic.Int32 // calls that gRPC has not returned from
	sawPeerOption  atomic.Bool  // gRPC was given the option that fills peer
	lostPeerOption atomic.Bool  // at least once gRPC was not given that option

	policy policy // last, because it would cost padding elsewhere
}

// attemptKey is the context key of the attempt.
type attemptKey struct{}

// Value returns the attempt for attemptKey and Config.AttemptKey, and for any other key the value
// in the call's context. If the call has no outgoing metadata, Value returns Config.Metadata as
// such. The attempt is a context itself because a derived context would cost an allocation.
func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) || key == a.conn.cfg.AttemptKey {
		return a
	}
	if v := a.Context.Value(key); v != nil {
		return v
	}
	return a.conn.header.Value(key)
}

// Idempotent reports whether the request is sent again even if a server may have served it.
func (a *attempt) Idempotent() bool { return a.policy >= read }

// SetMember notes the member that was picked.
func (a *attempt) SetMember(m any) { a.member.Store(m) }

// Avoid returns the member that was picked for the previous attempt, or nil.
func (a *attempt) Avoid() any { return a.avoid }

// again returns the next attempt at the request, which avoids the member of this one.
func (a *attempt) again(ctx context.Context, callers []grpc.CallOption) *attempt {
	next := a.conn.newAttempt(ctx, a.method, a.policy, callers)
	next.avoid = a.member.Load()
	return next
}

// newAttempt returns an attempt at a request with ctx. The caller's options come last, so they
// override the other options.
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

// noPeer is the peer's address in an attempt until gRPC sets another one. It is not nil, because a
// connection made by the user's own dialer may have a nil address.
var noPeer net.Addr = &net.UnixAddr{Net: "none"}

// sent reports whether the request may have left the client, or may still leave it. If a connection
// took the call and gRPC was given the peer option, gRPC has set the peer's address when the call
// ends. Without that option nothing proves that the request was not sent.
func (a *attempt) sent() bool {
	return a.underWay.Load() > 0 || a.peer.Addr != noPeer || !a.sawPeerOption.Load() ||
		a.lostPeerOption.Load()
}

// ObserveSends is the last interceptor, next to gRPC, of the connection below a [Conn]. It counts
// calls and records whether gRPC is given the attempt's peer option. Conn does not send a write
// that found no connection again if the connection lacks ObserveSends, or if another interceptor
// withholds the attempt's context or options, or returns before gRPC does.
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

// Invoke performs a unary call and sends it again as the package comment says. It returns the error
// of the last attempt, the context's error, or Config.Closed.
func (c *Conn) Invoke(
	ctx context.Context, method string, args, reply any, opts ...grpc.CallOption,
) error {
	proof, _ := ctx.Value(proofKey{}).(*Proof)
	if proof == nil {
		proof = &Proof{} // records the request for no caller, and stays on the stack
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

// over returns the error of a call whose context or client has ended, or nil.
func (c *Conn) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.cfg.Life.Err() != nil {
		return c.cfg.Closed
	}
	return nil
}

// generation returns the number of the token that requests carry, or 0 if they carry none.
func (c *Conn) generation() uint64 {
	if c.cfg.Tokens == nil {
		return 0
	}
	return c.cfg.Tokens.Generation()
}
