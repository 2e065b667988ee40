package balancer

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"go.etcd.io/etcd/client/v3/internal/backoff"
)

// handshakeBackoff is the wait before connecting again after a refused handshake. Attempts are
// refused until a certificate is replaced, and servers log each one: this makes five in the first
// 15 seconds, then at most two in 15 seconds.
var handshakeBackoff = backoff.Policy{Base: 2500 * time.Millisecond, Max: 10 * time.Second,
	Jitter: 0.2}

// isHandshakeRefusal reports whether one side refused the other's certificate, or TLS itself.
// Members that cannot be reached or that end the connection did not refuse the handshake.
func isHandshakeRefusal(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var plaintext tls.RecordHeaderError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") || // an alert
		errors.As(err, &certificate) || errors.As(err, &plaintext)
}

// isUnreachable reports whether there was no TCP connection for the handshake.
func isUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// handshakes delays the attempts at one connection. Its methods are not safe for concurrent use.
type handshakes struct {
	encrypted bool
	refusals  int         // consecutive
	ended     bool        // the last attempt reached the member and ended without a reason
	timer     *time.Timer // of a delayed attempt; may be nil
	stopped   bool
}

// note counts refusals by the outcome of an attempt to connect. A server that closes the connection
// at once may prevent its alert from being read. So on an encrypted connection a second attempt in
// a row that ends without a reason counts as refused. The first may be due to a member that was
// stopped.
func (h *handshakes) note(state balancer.SubConnState) {
	switch {
	case state.ConnectivityState == connectivity.Ready:
		h.refusals, h.ended = 0, false
	case state.ConnectivityState != connectivity.TransientFailure:
	case isUnreachable(state.ConnectionError):
		h.refusals, h.ended = 0, false
	case isHandshakeRefusal(state.ConnectionError), h.refusals > 0, h.ended:
		h.refusals++
	default:
		h.ended = h.encrypted
	}
}

// connect runs f when the next attempt is due.
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
