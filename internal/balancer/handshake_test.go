package balancer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// TestConnectWaitsAfterRefusedHandshakes: a TLS alert counts as a refused handshake. But an alert
// can be lost if the server closes the connection at once. A failure without an alert may also mean
// that the member just stopped. So a failure without an alert counts as a refused handshake only if
// the handshake of the attempt before it failed, too.
func TestConnectWaitsAfterRefusedHandshakes(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}
	reset := &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, tc := range []struct {
		name      string
		encrypted bool
		failures  []error // nil: connected
		want      int     // refusals
	}{
		{"alert", true, []error{alert}, 1},
		{"certificate not trusted", true, []error{&tls.CertificateVerificationError{}}, 1},
		{"alert lost once", true, []error{alert, reset, alert}, 3},
		{"alert lost at first", true, []error{reset, alert}, 1},
		{"alert never read", true, []error{reset, io.EOF, reset}, 2},
		{"stopped while connecting", true, []error{reset, refused, reset, refused}, 0},
		{"ended once after a connection", true, []error{reset, nil, reset}, 0},
		{"unencrypted", false, []error{reset, io.EOF, reset}, 0},
		{"member stops", true, []error{alert, alert, refused}, 0},
		{"connected", true, []error{alert, alert, nil}, 0},
	} {
		h := handshakes{encrypted: tc.encrypted}
		for _, err := range tc.failures {
			state := balancer.SubConnState{ConnectivityState: connectivity.TransientFailure,
				ConnectionError: err}
			if err == nil {
				state.ConnectivityState = connectivity.Ready
			}
			h.note(state)
		}
		assert.Equal(t, tc.want, h.refusals, tc.name)
	}
}
