package clientv3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
)

// TestConnectionErrorSaysWhy shows that a deadline which passes while connecting
// returns the context's error itself, that ConnectionError has the cause, and that
// the log has it once.
func TestConnectionErrorSaysWhy(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithTLS())
	wrongName := cluster.TLSConfig().Clone()
	wrongName.ServerName = "other.example"
	for _, tc := range []struct {
		name, endpoint string
		tls            *tls.Config
		want           string
		as             any
	}{
		{"refused", "127.0.0.1:1", nil, "connection refused", nil},
		{"bad authority", cluster.Endpoints()[0], &tls.Config{RootCAs: x509.NewCertPool()}, "unknown authority", &x509.UnknownAuthorityError{}},
		{"wrong name", cluster.Endpoints()[0], wrongName, "other.example", &x509.HostnameError{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, even := range []bool{false, true} {
				lg, logs := observed(zapcore.WarnLevel)
				c := newTestClient(t, Config{Endpoints: []string{tc.endpoint}, TLS: tc.tls, SpreadEvenly: even, Logger: lg})
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := c.Get(ctx, "k")
				assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // that == works is the point
				_, err = c.Put(ctx, "k", "v")
				assert.True(t, err == context.DeadlineExceeded, "%v", err) //nolint:errorlint // likewise

				cause := c.ConnectionError()
				require.ErrorContains(t, cause, tc.want)
				if tc.as != nil {
					assert.True(t, errors.As(cause, tc.as), "%v", cause)
				}
				require.Equal(t, 1, logs.Len(), "one warning: %v", logs.All())
				assert.Contains(t, logs.All()[0].ContextMap()["error"], tc.want)

				require.NoError(t, c.Close())
				assert.Equal(t, cause.Error(), c.ConnectionError().Error(), "after Close")
			}
		})
	}
}

// TestConnectionErrorWhileOneIsConnected shows that it is nil as long as any endpoint
// is connected, and speaks of all endpoints when none is.
func TestConnectionErrorWhileOneIsConnected(t *testing.T) {
	lg, logs := observed(zapcore.WarnLevel)
	s := etcdfake.Start(t)
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1", s.Addr()}, Logger: lg})
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	assert.Zero(t, logs.Len())

	s.Stop()
	eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:1: ") && strings.Contains(err.Error(), s.Addr()+": ")
	}, "both endpoints have failed")
	s.Restart()
	_, err = c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	c.SetEndpoints(s.Addr())
	require.NoError(t, c.Close())
	assert.NoError(t, c.ConnectionError(), "after Close")
}

// TestConnectionErrorForgetsEndpointsTakenAway shows that SetEndpoints takes the
// failures of former endpoints with them.
func TestConnectionErrorForgetsEndpointsTakenAway(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"}})
	eventually(t, func() bool { return c.ConnectionError() != nil }, "the endpoint fails")
	c.SetEndpoints("127.0.0.1:2")
	eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:2: ") && !strings.Contains(err.Error(), "127.0.0.1:1: ")
	}, "the new endpoint alone is spoken of")
}

func TestConnectionErrorWithoutAConnection(t *testing.T) {
	c := NewCtxClient(t.Context())
	assert.Equal(t, ErrNoAvailableEndpoints, c.ConnectionError())
	require.NoError(t, c.Close())
	assert.Equal(t, ErrNoAvailableEndpoints, c.ConnectionError())
}

// TestConnectionErrorHasNoPassword shows that a dialer's error that prints a URL does
// not carry its password into texts and logs.
func TestConnectionErrorHasNoPassword(t *testing.T) {
	lg, logs := observed(zapcore.DebugLevel)
	c := newTestClient(t, Config{Endpoints: []string{"a:1"}, Logger: lg, DialOptions: []grpc.DialOption{
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return nil, errors.New(`proxy "http://root:secret@proxy:1" is gone`)
		}),
	}})
	eventually(t, func() bool { return c.ConnectionError() != nil && logs.Len() > 0 }, "the dialer fails")
	assert.ErrorContains(t, c.ConnectionError(), "http://***@proxy:1")
	assert.NotContains(t, c.ConnectionError().Error(), "secret")
	for _, entry := range logs.All() {
		assert.NotContains(t, entry.ContextMap()["error"], "secret")
	}
}
