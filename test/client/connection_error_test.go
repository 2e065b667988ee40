package client_test

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
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestConnectionErrorSaysWhy: a call whose deadline passes while the client connects returns
// context.DeadlineExceeded itself. ConnectionError returns the cause, and one log entry shows it.
func TestConnectionErrorSaysWhy(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithTLS())
	// gRPC prefers the server name that comes with each address. The client checks the configured
	// name instead.
	wrongName := cluster.TLSConfig().Clone()
	wrongName.ServerName = "other.example"
	for _, tc := range []struct {
		name, endpoint string
		tls            *tls.Config
		want           string
		as             any
	}{
		{"refused", "127.0.0.1:1", nil, "connection refused", nil},
		{"bad authority", cluster.Endpoints()[0], &tls.Config{RootCAs: x509.NewCertPool()},
			"unknown authority", &x509.UnknownAuthorityError{}},
		{"wrong name", cluster.Endpoints()[0], wrongName, "other.example", &x509.HostnameError{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, even := range []bool{false, true} {
				lg, logs := testclient.Observed(zapcore.WarnLevel)
				c := testclient.New(t, clientv3.Config{Endpoints: []string{tc.endpoint},
					TLS:          tc.tls,
					SpreadEvenly: even, Logger: lg})
				testclient.Eventually(t, func() bool {
					return c.ConnectionError() != nil
				}, "an attempt to connect has failed")
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := c.Get(ctx, "k")
				assert.True(t, err == context.DeadlineExceeded, "%v", err)
				_, err = c.Put(ctx, "k", "v")
				assert.True(t, err == context.DeadlineExceeded, "%v", err)

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

// TestConnectionErrorWhileOneIsConnected shows that ConnectionError is nil while any endpoint is
// connected, and names all endpoints if no endpoint is.
func TestConnectionErrorWhileOneIsConnected(t *testing.T) {
	lg, logs := testclient.Observed(zapcore.WarnLevel)
	s := etcdfake.New(t)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1", s.Listen()},
		Logger: lg})
	_, err := c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	assert.Zero(t, logs.Len())

	s.Member(0).Stop()
	testclient.Eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:1: ") &&
			strings.Contains(err.Error(), s.Listen()+": ")
	}, "both endpoints have failed")
	s.Member(0).Start()
	_, err = c.Get(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, c.ConnectionError())
	c.SetEndpoints(s.Listen())
	require.NoError(t, c.Close())
	assert.NoError(t, c.ConnectionError(), "after Close")
}

// TestConnectionErrorForgetsEndpointsTakenAway shows that SetEndpoints removes the failures of the
// endpoints that it removes.
func TestConnectionErrorForgetsEndpointsTakenAway(t *testing.T) {
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1"}})
	testclient.Eventually(t, func() bool {
		return c.ConnectionError() != nil
	}, "the endpoint fails")
	c.SetEndpoints("127.0.0.1:2")
	testclient.Eventually(t, func() bool {
		err := c.ConnectionError()
		return err != nil && strings.Contains(err.Error(), "127.0.0.1:2: ") &&
			!strings.Contains(err.Error(), "127.0.0.1:1: ")
	}, "the error names the new endpoint alone")
}

func TestConnectionErrorWithoutAConnection(t *testing.T) {
	c := clientv3.NewCtxClient(t.Context())
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, c.ConnectionError())
	require.NoError(t, c.Close())
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, c.ConnectionError())
}

// TestConnectionErrorHasNoPassword shows that the password of a URL in a dialer's error appears in
// no error and no log entry.
func TestConnectionErrorHasNoPassword(t *testing.T) {
	lg, logs := testclient.Observed(zapcore.DebugLevel)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"a:1"}, Logger: lg,
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
				return nil, errors.New(`proxy "http://root:secret@proxy:1" is gone`)
			}),
		}})
	testclient.Eventually(t, func() bool {
		return c.ConnectionError() != nil && logs.Len() > 0
	}, "the dialer fails")
	assert.ErrorContains(t, c.ConnectionError(), "http://***@proxy:1")
	assert.NotContains(t, c.ConnectionError().Error(), "secret")
	for _, entry := range logs.All() {
		assert.NotContains(t, entry.ContextMap()["error"], "secret")
	}
}
