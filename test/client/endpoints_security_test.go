package client_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// advertising returns an option with which every MemberList returns one member with the given URLs.
// If ask is false, the interceptor does not send the request to the server.
func advertising(urls *[]string, ask bool) grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
		cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		list, ok := reply.(*pb.MemberListResponse)
		if !ok || ask {
			if err := next(ctx, method, req, reply, cc, opts...); err != nil || !ok {
				return err
			}
		}
		list.Members = []*pb.Member{{ID: 1, Name: "a", ClientURLs: *urls}}
		return nil
	})
}

// TestSyncNeverLowersSecurity: if the program has asked for encryption, a URL that a member
// advertises does not turn encryption off.
func TestSyncNeverLowersSecurity(t *testing.T) {
	tlsCfg := &tls.Config{}
	for _, tc := range []struct {
		named      []string
		tls        *tls.Config
		advertised []string
		want       []string
	}{
		{[]string{"https://a:1"}, tlsCfg, []string{"http://a:1", "http://b:1"},
			[]string{"https://a:1", "https://b:1"}},
		{[]string{"https://a:1"}, nil, []string{"http://a:1/", "unix:s"},
			[]string{"https://a:1", "unix:s"}},
		{[]string{"a:1"}, tlsCfg, []string{"http://[::1]:1"}, []string{"https://[::1]:1"}},
		{[]string{"http://a:1"}, tlsCfg, []string{"http://a:1", "http://b:1"},
			[]string{"http://a:1", "http://b:1"}},
		{[]string{"a:1"}, nil, []string{"http://a:1", "https://b:1"},
			[]string{"http://a:1", "https://b:1"}},
		{[]string{"https://a:1", "http://b:1"}, tlsCfg,
			[]string{"http://a:1", "http://b:1", "http://c:1"},
			[]string{"https://a:1", "http://b:1", "https://c:1"}},
	} {
		c := testclient.New(t, clientv3.Config{Endpoints: tc.named, TLS: tc.tls,
			DialOptions: []grpc.DialOption{advertising(&tc.advertised, false)}})
		require.NoError(t, c.Sync(t.Context()))
		assert.Equal(t, tc.want, c.Endpoints(), "%v", tc.named)
		require.NoError(t, c.Sync(t.Context()))
		assert.Equal(t, tc.want, c.Endpoints(), "the second time")
		c.SetEndpoints("http://z:1")
		require.NoError(t, c.Sync(t.Context()))
		assert.Equal(t, tc.advertised, c.Endpoints(), "the program may name http")
	}
}

// TestSyncKeepsAMemberThatListensOnTLS: a member that listens on TLS may advertise http URLs. The
// client still reaches it after Sync.
func TestSyncKeepsAMemberThatListensOnTLS(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithTLS())
	advertised := strings.Replace(cluster.Members()[0].Endpoint(), "https://", "http://", 1)
	c := testclient.New(t, clientv3.Config{Endpoints: cluster.Endpoints(), TLS: cluster.TLSConfig(),
		DialOptions: []grpc.DialOption{advertising(&[]string{advertised}, true)}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, c.Sync(ctx))
	_, err := c.Put(ctx, "k", "v")
	require.NoError(t, err)
	_, err = c.Status(ctx, advertised)
	require.NoError(t, err, "a connection to what a member advertises is encrypted as well")
}

// TestSyncKeepsTheConnection: Sync replaces an endpoint without a scheme by a URL of the same
// address. The connection is kept.
func TestSyncKeepsTheConnection(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	s.Unary("MemberList", members(
		&pb.Member{ID: 1, Name: "a", ClientURLs: []string{"http://" + s.Addr() + "/"}}))
	w := c.Watch(t.Context(), "k", clientv3.WithCreatedNotify())
	require.True(t, (<-w).Created)
	require.NoError(t, c.Sync(t.Context()))
	assert.Equal(t, []string{"http://" + s.Addr() + "/"}, c.Endpoints())
	for range 20 {
		_, err := c.Put(t.Context(), "k", "v")
		require.NoError(t, err)
	}
	assert.Equal(t, 1, s.Conns())
}

// TestBadEndpointsAreLeftOut: New and SetEndpoints leave out endpoints that are not valid, and log
// one warning that names them. New fails if no endpoint is left.
func TestBadEndpointsAreLeftOut(t *testing.T) {
	s := etcdfake.Start(t)
	for _, bad := range []string{"", " ", " 127.0.0.1:1", "ftp://a:1", "a:99999", "a:etcd",
		"http://", "unix:", "http://root:password@h:badport", "root:password@h:1"} {
		lg, logs := testclient.Observed(zapcore.WarnLevel)
		c := testclient.New(t, clientv3.Config{Endpoints: []string{bad, s.Addr(), bad}, Logger: lg})
		assert.Equal(t, []string{s.Addr()}, c.Endpoints(), "%q", bad)
		_, err := c.Put(t.Context(), "k", "v")
		require.NoError(t, err)
		require.Equal(t, 1, logs.Len(), "%q", bad)
		shown := bad[strings.LastIndexByte(bad, '@')+1:]
		assert.Contains(t, fmt.Sprint(logs.All()[0].ContextMap()), shown)

		c.SetEndpoints(bad, s.Addr())
		assert.Equal(t, 2, logs.Len())
		_, err = clientv3.New(clientv3.Config{Endpoints: []string{bad}, Logger: zap.NewNop()})
		require.Error(t, err)
	}
}

// TestNoSecretInErrorsAndLogs: errors and log entries contain no password and no token, in whatever
// field of the Config the program put it. testclient.New searches the logs of all tests.
func TestNoSecretInErrorsAndLogs(t *testing.T) {
	const secret = "s3cr3tpw"
	lg, logs := testclient.Observed(zapcore.DebugLevel)
	bad := []string{
		"http://root:" + secret + "@h:badport", "ftp://root:" + secret + "@h:1",
		"root:" + secret + "@h:1",
		"http://root:" + secret + "%zz@h:1", "http://root:" + secret + "/@h:1",
	}
	var texts []string
	note := func(err error) {
		require.Error(t, err)
		texts = append(texts, err.Error(), fmt.Sprintf("%+v", err))
	}
	for _, ep := range bad {
		_, err := clientv3.New(clientv3.Config{Endpoints: []string{ep}, Logger: lg})
		note(err)
	}
	_, err := clientv3.New(clientv3.Config{Endpoints: bad, Logger: lg, Username: "root",
		Password: secret})
	note(err)
	_, err = clientv3.New(clientv3.Config{Endpoints: []string{"http://root:" + secret +
		"@127.0.0.1:1"},
		RejectOldCluster: true, DialTimeout: 50 * time.Millisecond, Logger: lg})
	note(err)
	_, err = clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:1"}, Username: "root",
		Password:    secret,
		DialTimeout: 50 * time.Millisecond, Logger: lg})
	note(err)

	c := testclient.New(t, clientv3.Config{Endpoints: []string{"http://root:" + secret +
		"@127.0.0.1:1"},
		Token: secret, Logger: lg})
	assert.Equal(t, []string{"http://root:" + secret + "@127.0.0.1:1"}, c.Endpoints(), "as given")
	c.SetEndpoints(bad...)
	c.SetEndpoints(append(bad, "http://root:"+secret+"@127.0.0.1:1")...)
	for _, ep := range bad {
		_, err := c.Dial(ep)
		note(err)
		_, err = c.Status(t.Context(), ep)
		note(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = c.Put(ctx, "k", "v")
	note(err)
	testclient.Eventually(t, func() bool {
		return c.ConnectionError() != nil
	}, "the member cannot be reached")
	note(c.ConnectionError())

	require.NotZero(t, logs.Len())
	for _, e := range logs.All() {
		texts = append(texts, fmt.Sprint(e.Message, e.ContextMap()))
	}
	for _, text := range texts {
		testclient.RequireNoSecret(t, []string{secret}, text)
	}
}
