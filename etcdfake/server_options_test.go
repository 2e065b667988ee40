package etcdfake_test

import (
	"context"
	"crypto/tls"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

// An interceptor gets each request and each stream before the cluster records it as a call. A put
// that the interceptor answers itself does not count in Calls.
func TestInterceptors(t *testing.T) {
	var streams atomic.Int32
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		mustPut(t, client, "passed", "1")
		mustPut(t, client, "stopped", "1")
		_, err := client.KeepAliveOnce(t.Context(), 1)
		require.Error(t, err)
		assert.Equal(t, map[string]string{"passed": "1"}, c.Dump(""))
		assert.Equal(t, 1, c.Calls("Put"))
		assert.Equal(t, int32(1), streams.Load())
	}, etcdfake.WithServerOptions(
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo,
			next grpc.UnaryHandler) (any, error) {
			if put, ok := req.(*pb.PutRequest); ok && string(put.Key) == "stopped" {
				return &pb.PutResponse{}, nil
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo,
			next grpc.StreamHandler) error {
			if info.FullMethod == pb.Lease_LeaseKeepAlive_FullMethodName {
				streams.Add(1)
			}
			return next(srv, s)
		})))
}

// An interceptor can call its handler even after the stream and the member have ended. The stopped
// member does not run the handler: the call returns an error.
func TestHandlerOfAStoppedMember(t *testing.T) {
	var late func() error
	c := etcdfake.New(t, etcdfake.WithServerOptions(grpc.ChainStreamInterceptor(
		func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo,
			next grpc.StreamHandler) error {
			late = func() error { return next(srv, s) }
			return status.Error(codes.FailedPrecondition, "not yet")
		})))
	_, err := c.Client().KeepAliveOnce(t.Context(), 1)
	require.ErrorContains(t, err, "not yet")
	c.Member(0).Stop()
	require.ErrorContains(t, late(), "the member is stopped")
}

func TestServerOverTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	c := etcdfake.New(t, etcdfake.WithServerOptions(
		grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0]))))
	client := c.Client(func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{"https://etcdfake-0:2379"}
		cfg.TLS = &tls.Config{InsecureSkipVerify: true} // the certificate is for another host
	})
	mustPut(t, client, "k", "v")
}

func TestConnsCountsOpenConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, c *etcdfake.Cluster, client *clientv3.Client) {
		mustPut(t, client, "k", "v")
		assert.Equal(t, 1, c.Member(0).Conns())
		require.NoError(t, client.Close())
		synctest.Wait()
		assert.Zero(t, c.Member(0).Conns())
	})
}
