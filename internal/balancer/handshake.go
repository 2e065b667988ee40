package balancer

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/internal/backoff"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// handshakeBackoff spaces the attempts at a connection whose last handshake was
// refused. They go on as long as the certificates stay what they are, and servers log
// each: five in the first 15 seconds, then two at most.
var handshakeBackoff = backoff.Policy{Base: 2500 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2}

// isHandshakeRefusal tells the refusals of either side's certificate, or of TLS itself,
// from members that cannot be reached or that end the connection.
func isHandshakeRefusal(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var plaintext tls.RecordHeaderError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") || // an alert
		errors.As(err, &certificate) || errors.As(err, &plaintext)
}

// isUnreachable tells that there was not even a connection to shake hands on.
func isUnreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// handshakes delays the attempts at one connection.
type handshakes struct {
	// guarded by mu
	mu       sync.Mutex
	refusals int // in a row
	timer    *time.Timer
	stopped  bool
}

// note takes in whether a connection was made, and why not.
func (h *handshakes) note(state balancer.SubConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case state.ConnectivityState == connectivity.Ready:
		h.refusals = 0
	case state.ConnectivityState != connectivity.TransientFailure:
	case isHandshakeRefusal(state.ConnectionError):
		h.refusals++
	case isUnreachable(state.ConnectionError):
		h.refusals = 0
	case h.refusals > 0: // a server that closes its side at once may keep its reason from being read
		h.refusals++
	}
}

// connect runs f when the next attempt is due.
func (h *handshakes) connect(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopped:
	case h.refusals == 0:
		f()
	default:
		h.timer = time.AfterFunc(handshakeBackoff.Delay(h.refusals-1), f)
	}
}

// stop lets no delayed attempt begin.
func (h *handshakes) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}
