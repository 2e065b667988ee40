package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// state is the state of a connection, see the package's documentation.
type state uint8

const (
	connecting state = iota
	failed           // could not connect, and has not connected since; gRPC tries again
	unchecked        // connected; whether the server is healthy is not known
	healthy
	unhealthy // connected; the server does not serve, or refuses the health check
)

// conn is the connection to one address, across reconnects.
type conn struct {
	// read-only after newConn
	policy  *policy
	address resolver.Address
	member  *Member
	sub     balancer.SubConn

	// guarded by the policy's mu
	state      state
	err        error // of the last attempt to connect; nil if it succeeded
	handshakes handshakes
	stopCheck  context.CancelFunc // ends the health check
}

// newConn starts to connect to an address.
func (p *policy) newConn(a resolver.Address) (*conn, error) {
	c := &conn{policy: p, address: a, member: p.tracker.of(a), stopCheck: func() {}}
	opts := balancer.NewSubConnOptions{StateListener: c.changed}
	if b := endpoint.BundleOf(a.Attributes); b != nil {
		// A client may have http and https endpoints. gRPC derives the header :scheme of a
		// connection's requests from the bundle that is passed here.
		//nolint:staticcheck // gRPC does not derive :scheme from an address's credentials
		opts.CredsBundle = b
		c.handshakes.encrypted = b.TransportCredentials().Info().SecurityProtocol == "tls"
	}
	var err error
	//nolint:staticcheck // NewSubConn is marked deprecated, but only NewSubConn makes a connection
	if c.sub, err = p.cc.NewSubConn([]resolver.Address{a}, opts); err != nil {
		return nil, err
	}
	c.sub.Connect()
	return c, nil
}

// changed is called by gRPC with each new state of the connection.
func (c *conn) changed(s balancer.SubConnState) {
	if s.ConnectivityState != connectivity.Ready {
		c.member.conn.CompareAndSwap(c, nil)
	}
	if s.ConnectivityState != connectivity.Shutdown {
		c.policy.change(func() { c.changeLocked(s) })
	}
}

// changeLocked updates the connection's state. If the connection is lost, changeLocked connects
// again: at once, or after handshakeBackoff if the TLS handshake was refused.
func (c *conn) changeLocked(s balancer.SubConnState) {
	c.stopCheck()
	c.handshakes.note(s)
	switch s.ConnectivityState {
	case connectivity.Ready:
		c.member.conn.Store(c)
		c.state, c.err = healthy, nil
		if c.policy.tracker.HealthCheck {
			c.state = unchecked
			c.startCheckLocked()
		}
	case connectivity.TransientFailure:
		c.state, c.err = failed, s.ConnectionError
	case connectivity.Idle:
		c.handshakes.connect(c.sub.Connect)
		fallthrough
	default:
		if c.state != failed {
			c.state = connecting
		}
	}
}

// startCheckLocked starts a health check, which goes on until the connection is lost.
func (c *conn) startCheckLocked() {
	ctx, cancel := context.WithCancel(c.policy.ctx)
	c.stopCheck = cancel
	rpc, release := c.rpc()
	// The goroutine ends at the latest when ctx ends, that is when the connection is lost or the
	// policy is closed. The policy's Close waits for the goroutine.
	c.policy.checks.Go(func() {
		defer release()
		c.member.withoutHealth.Store(false)
		c.member.withoutHealth.Store(followHealth(ctx, rpc, c.report))
	})
}

// report records whether the server serves. If ctx has ended, report changes nothing.
func (c *conn) report(ctx context.Context, serving bool) {
	c.policy.change(func() {
		switch {
		case ctx.Err() != nil:
		case serving:
			c.state = healthy
		default:
			c.state = unhealthy
		}
	})
}

// shutdownLocked gives up the connection. gRPC closes it when the calls on it have ended.
func (c *conn) shutdownLocked() {
	c.stopCheck()
	c.handshakes.stop()
	c.sub.Shutdown()
}

// rpc returns an interface that sends requests on this connection only. It is for requests that
// must reach this member. The caller calls release when these requests have ended.
func (c *conn) rpc() (rpc grpc.ClientConnInterface, release func()) {
	producer, release := c.sub.GetOrBuildProducer(rpcs{})
	return producer.(grpc.ClientConnInterface), release
}

// rpcs is a balancer.ProducerBuilder. gRPC passes its Build an interface that sends RPCs on one
// connection, and Build returns that interface as the producer.
type rpcs struct{}

func (rpcs) Build(conn any) (balancer.Producer, func()) { return conn, func() {} }

// handshakeBackoff is the wait before connecting again after a refused handshake. Attempts are
// refused until a certificate is replaced, and servers log each one. So there are only five
// attempts in the first 15 seconds, and then at most two in 15 seconds.
var handshakeBackoff = backoff.Policy{Base: 2500 * time.Millisecond, Max: 10 * time.Second,
	Jitter: 0.2}

// isHandshakeRefusal reports whether the client or the server refused a TLS handshake. It refused
// the certificate of the other side, or TLS itself. The result is false if the member could not be
// reached, or closed the connection without a TLS alert.
func isHandshakeRefusal(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var plaintext tls.RecordHeaderError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") || // an alert
		errors.As(err, &certificate) || errors.As(err, &plaintext)
}

// isUnreachable reports whether the dial failed, so no TLS handshake was tried.
func isUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// handshakes delays further attempts to connect to one address after refused TLS handshakes. Its
// methods are not safe for concurrent use.
type handshakes struct {
	encrypted bool
	refusals  int         // how many handshakes in a row were refused
	ended     bool        // the last attempt used TLS and failed for an unknown reason
	timer     *time.Timer // of a delayed attempt; may be nil
	stopped   bool
}

// note updates the number of refusals after an attempt to connect.
//
// If two TLS attempts in a row fail for an unknown reason, the second counts as refused. A server
// that refuses a certificate may close the connection before the client has read the TLS alert. The
// first attempt does not count, because the member may just have stopped.
func (h *handshakes) note(state balancer.SubConnState) {
	switch {
	case state.ConnectivityState == connectivity.Ready, isUnreachable(state.ConnectionError):
		h.refusals, h.ended = 0, false
	case state.ConnectivityState != connectivity.TransientFailure:
	case isHandshakeRefusal(state.ConnectionError), h.refusals > 0, h.ended:
		h.refusals++
	default:
		h.ended = h.encrypted
	}
}

// connect runs f, which starts an attempt to connect. If the last handshakes were refused, connect
// runs f after handshakeBackoff, otherwise at once.
func (h *handshakes) connect(f func()) {
	switch {
	case h.stopped:
	case h.refusals == 0:
		f()
	default:
		h.timer = time.AfterFunc(handshakeBackoff.Delay(h.refusals-1), f)
	}
}

// stop prevents delayed attempts.
func (h *handshakes) stop() {
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}
