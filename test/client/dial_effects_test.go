package client_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestDisabledServiceConfig: if the program disables service configs, the client's limits on
// messages still hold. A default service config of the program takes effect, as gRPC documents.
func TestDisabledServiceConfig(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
		grpc.WithDisableServiceConfig()}})
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		_, err := c.Put(t.Context(), k, strings.Repeat("v", 1<<20))
		require.NoError(t, err)
	}
	_, err := c.Get(t.Context(), "a", clientv3.WithFromKey())
	require.NoError(t, err, "over gRPC's own 4 MiB")
	_, err = pb.NewKVClient(c.ActiveConnection()).Range(t.Context(),
		&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err),
		"a stub of the program has gRPC's own limits")

	own := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()},
		DialOptions: []grpc.DialOption{
			grpc.WithDisableServiceConfig(), grpc.WithDefaultServiceConfig(noTime),
		}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = own.Put(ctx, "k", "v")
	assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
}

// TestUsersDialerGetsWhatCannotBeParsed: if the client cannot parse an endpoint, it passes the
// endpoint unchanged to the dialer that the program has set.
func TestUsersDialerGetsWhatCannotBeParsed(t *testing.T) {
	s := etcdfake.Start(t)
	for ep, want := range map[string]string{
		"inmem://x": "inmem://x", "passthrough:///x": "passthrough:///x", "a/b": "a/b",
		"n:1:2":     "n:1:2",
		"unix:/p/s": "unix:///p/s", "unix:///p/s": "unix:///p/s", "unix:s": "unix:s",
		"http://h:1": "h:1",
	} {
		got := make(chan string, 1)
		c := testclient.New(t, clientv3.Config{Endpoints: []string{ep},
			DialOptions: []grpc.DialOption{
				grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
					select {
					case got <- address:
					default:
					}
					return (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr())
				}),
			}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := c.Put(ctx, "k", "v")
		cancel()
		require.NoError(t, err, ep)
		assert.Equal(t, want, <-got)
	}
}

// TestSecureCredentialsGoByConnection: per-RPC credentials that require encryption are sent on
// encrypted connections only. A connection is encrypted because of its scheme or of Config.TLS.
func TestSecureCredentialsGoByConnection(t *testing.T) {
	opts := []grpc.DialOption{grpc.WithPerRPCCredentials(headerCreds{secure: true})}
	_, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://127.0.0.1:1"},
		TLS:         &tls.Config{},
		DialOptions: opts, Logger: testclient.Logger(t, clientv3.Config{})})
	require.ErrorContains(t, err, "credentials", "no endpoint is encrypted")
	testclient.New(t, clientv3.Config{Endpoints: []string{"https://127.0.0.1:1"},
		DialOptions: opts})

	plain := etcdfake.Start(t)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"http://" + plain.Addr(),
		"https://127.0.0.1:1"}, DialOptions: opts})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = c.Put(ctx, "k", "v")
	require.Error(t, err)
	assert.Zero(t, plain.Calls("Put"))
}

// countingBundle is a bundle of credentials that counts its handshakes.
type countingBundle struct {
	credentials.Bundle
	handshakes *atomic.Int64
}

func (b countingBundle) TransportCredentials() credentials.TransportCredentials {
	return countingCreds{insecure.NewCredentials(), b.handshakes}
}

func (countingBundle) PerRPCCredentials() credentials.PerRPCCredentials { return nil }

type countingCreds struct {
	credentials.TransportCredentials
	handshakes *atomic.Int64
}

func (c countingCreds) Clone() credentials.TransportCredentials { return c }

func (c countingCreds) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	c.handshakes.Add(1)
	return c.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

// TestUsersBundleSecuresConnections: connections use a credentials bundle from DialOptions. gRPC
// accepts no bundle together with transport credentials, so the program must remove those that the
// client sets.
func TestUsersBundleSecuresConnections(t *testing.T) {
	var handshakes atomic.Int64
	_, c := testclient.StartFake(t, clientv3.Config{DialOptions: []grpc.DialOption{
		grpc.WithTransportCredentials(nil), grpc.WithCredentialsBundle(
			countingBundle{handshakes: &handshakes}),
	}})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.NotZero(t, handshakes.Load())
}
