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

// Tokens is the holder of the client's authentication token.
type Tokens interface {
	// Generation names the token that requests carry now.
	Generation() uint64
	// Fresh reports whether the token of generation seen is in use and so new
	// that members may not know it yet.
	Fresh(seen uint64) bool
	// Refresh replaces the token of generation seen, if it is still in use. It
	// returns an error where no other token can be had.
	Refresh(ctx context.Context, seen uint64) error
}

// Config holds what a [Conn] needs besides the connection.
type Config struct {
	// MaxAttempts bounds how often one request is sent.
	MaxAttempts uint
	// Backoff spaces the attempts.
	Backoff backoff.Policy
	// Endpoints tells how many endpoints the connection spreads requests over.
	Endpoints func() int
	// Tokens is nil where requests carry no token that could be renewed.
	Tokens Tokens
	// Life ends when the client is closed.
	Life context.Context
	// Closed is the error of calls that the client's closing ended.
	Closed error
	// Metadata goes out with every request, beside the caller's.
	Metadata [2]string
	// Options, two at most, are those of every call; the caller's prevail.
	Options []grpc.CallOption
	// Repeats, if not nil, is the context key under which a request tells whether it
	// is one that is sent again also where a server may have served it: a bool.
	Repeats any
	// Retrying, if not nil, is told of each failed attempt that another one
	// follows. It must not block.
	Retrying func(method string, attempt uint, err error)
}

// Conn is a grpc.ClientConnInterface that retries. It is safe for concurrent
// use and holds nothing that must be released.
type Conn struct {
	cc     grpc.ClientConnInterface
	cfg    Config
	header context.Context // holds nothing but Config.Metadata
}

// New returns a Conn on cc.
func New(cc grpc.ClientConnInterface, cfg Config) *Conn {
	cfg.MaxAttempts = max(cfg.MaxAttempts, 1)
	//nolint:forbidigo // carries metadata; nothing waits on it
	header := metadata.AppendToOutgoingContext(context.Background(), cfg.Metadata[:]...)
	return &Conn{cc: cc, cfg: cfg, header: header}
}

// waitForReady makes attempts wait for a connection as long as their context
// allows, instead of failing while every endpoint is being dialled.
var waitForReady = grpc.WaitForReady(true)

// attempt is the context and the options of one try, and learns from gRPC
// whether it got as far as a connection.
type attempt struct {
	context.Context // the call's
	conn            *Conn
	method          string
	req             any

	peer peer.Peer
	room [6]grpc.CallOption
	opts []grpc.CallOption

	// Set by Witness, which interceptors may run on goroutines that they do not wait for.
	underWay  atomic.Int32 // requests that gRPC is still at
	witnessed atomic.Bool  // gRPC was given the option that fills peer …
	blind     atomic.Bool  // … or, at least once, was not
}

// attemptKey is the context key under which an attempt is found.
type attemptKey struct{}

// Value finds the attempt itself, whether it may be repeated, and the client's own
// metadata where the call has none. That the attempt is its own context saves what
// a derived one would allocate.
func (a *attempt) Value(key any) any {
	switch {
	case key == (attemptKey{}):
		return a
	case key == a.conn.cfg.Repeats:
		return policyOf(a.Context, a.method, a.req) >= read
	}
	if v := a.Context.Value(key); v != nil {
		return v
	}
	return a.conn.header.Value(key)
}

// newAttempt puts the caller's options last, where they prevail.
func (c *Conn) newAttempt(
	ctx context.Context, method string, req any, callers []grpc.CallOption,
) *attempt {
	if _, ok := metadata.FromOutgoingContext(ctx); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, c.cfg.Metadata[:]...)
	}
	a := &attempt{Context: ctx, conn: c, method: method, req: req, peer: peer.Peer{Addr: nobody}}
	a.opts = append(a.room[:0], waitForReady, grpc.Peer(&a.peer))
	a.opts = append(a.opts, c.cfg.Options...)
	a.opts = append(a.opts, callers...)
	return a
}

// nobody is the address of a peer that gRPC has not named. No other serves: the
// user's own connections may have none.
var nobody net.Addr = &net.UnixAddr{Net: "none"}

// connected reports whether the request got a connection, or may yet: gRPC names
// the peer of every call that did when the call ends, if it is given the option to.
func (a *attempt) connected() bool { return a.underWay.Load() > 0 || a.peer.Addr != nobody }

// sent reports whether the request may have left the client, or may yet. That it has
// not is proved by gRPC alone, and by what other interceptors leave of the options.
func (a *attempt) sent() bool { return a.connected() || !a.witnessed.Load() || a.blind.Load() }

// Witness is the interceptor of a connection that a [Conn] is made on. It has to be
// the last, next to gRPC. Without it, or where another interceptor keeps an
// attempt's context or options back, or does not wait for gRPC, no write is sent
// again for want of a connection.
func Witness(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		if i := idempotent(a.Context, a.method); i != nil {
			i.sends.Add(1)
		}
		a.underWay.Add(1)
		defer a.underWay.Add(-1)
		if slices.ContainsFunc(opts, a.isItsPeer) {
			a.witnessed.Store(true)
		} else {
			a.blind.Store(true)
		}
	}
	return next(ctx, method, req, reply, cc, opts...)
}

func (a *attempt) isItsPeer(o grpc.CallOption) bool {
	p, ok := o.(grpc.PeerCallOption)
	return ok && p.PeerAddr == &a.peer
}

// Invoke performs a unary call; see the package's invariants. Its error is
// that of the last attempt, or says that ctx or the client ended meanwhile.
func (c *Conn) Invoke(
	ctx context.Context, method string, args, reply any, opts ...grpc.CallOption,
) error {
	proof := proofOf(ctx)
	proof.begin()
	if err := c.over(ctx); err != nil {
		proof.end(false)
		return err
	}
	seen := c.generation()
	a := c.newAttempt(ctx, method, args, opts)
	err := c.cc.Invoke(a, method, args, reply, a.opts...)
	if err == nil {
		return nil
	}
	s := c.newSeries(ctx, method, args)
	defer s.end()
	for s.follow(err, a, seen) {
		seen = c.generation()
		a = c.newAttempt(s.ctx, method, args, opts)
		if err = c.cc.Invoke(a, method, args, reply, a.opts...); err == nil {
			return nil
		}
	}
	proof.end(s.sent)
	return s.result
}

// over returns the error of a call that need not begin.
func (c *Conn) over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.cfg.Life.Err() != nil {
		return c.cfg.Closed
	}
	return nil
}

func (c *Conn) generation() uint64 {
	if c.cfg.Tokens == nil {
		return 0
	}
	return c.cfg.Tokens.Generation()
}
