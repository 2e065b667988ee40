package clientv3

import (
	"context"
	"crypto/tls"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
)

// optionCase is an option of gRPC's and what shows its effect, if anything but that
// requests are served does.
type optionCase struct {
	opts    []grpc.DialOption
	refused string // New's error
	shows   func(t *testing.T, s *etcdfake.Server, c *Client)
}

type countingStats struct{ rpcs atomic.Int64 }

func (c *countingStats) TagRPC(ctx context.Context,
	_ *stats.RPCTagInfo) context.Context {
	return ctx
}

func (c *countingStats) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.Begin); ok {
		c.rpcs.Add(1)
	}
}

func (c *countingStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (c *countingStats) HandleConn(context.Context, stats.ConnStats) {}

// headerCreds are per-RPC credentials.
type headerCreds struct{ secure bool }

func (headerCreds) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"from-creds": "yes"}, nil
}

func (h headerCreds) RequireTransportSecurity() bool { return h.secure }

type plainBundle struct{ credentials.Bundle }

func (plainBundle) TransportCredentials() credentials.TransportCredentials {
	return insecure.NewCredentials()
}

const noTime = `{"methodConfig":[{"name":[{}],"timeout":"0.000001s"}]}`

// servedOptions are those that show in nothing but that requests are served, and
// deprecated ones, which have no effect on New.
func servedOptions() map[string]optionCase {
	one := func(o ...grpc.DialOption) optionCase { return optionCase{opts: o} }
	return map[string]optionCase{
		//lint:ignore SA1019 programs use it
		"WithSharedWriteBuffer":      one(grpc.WithSharedWriteBuffer(false)),
		"WithWriteBufferSize":        one(grpc.WithWriteBufferSize(1)),
		"WithReadBufferSize":         one(grpc.WithReadBufferSize(1)),
		"WithInitialWindowSize":      one(grpc.WithInitialWindowSize(1 << 20)),
		"WithInitialConnWindowSize":  one(grpc.WithInitialConnWindowSize(1 << 20)),
		"WithStaticStreamWindowSize": one(grpc.WithStaticStreamWindowSize(1 << 20)),
		"WithStaticConnWindowSize":   one(grpc.WithStaticConnWindowSize(1 << 20)),
		//lint:ignore SA1019 programs use it
		"WithMaxMsgSize": one(grpc.WithMaxMsgSize(1)),
		"WithConnectParams": one(grpc.WithConnectParams(
			grpc.ConnectParams{Backoff: backoff.DefaultConfig})),
		//lint:ignore SA1019 programs use it
		"WithBlock":              one(grpc.WithBlock()),
		"WithInsecure":           one(),
		"WithLocalDNSResolution": one(grpc.WithLocalDNSResolution()),
		"WithKeepaliveParams": one(grpc.WithKeepaliveParams(
			keepalive.ClientParameters{Time: time.Minute})),
		"WithChannelzParentID":     one(grpc.WithChannelzParentID(nil)),
		"WithDefaultServiceConfig": one(grpc.WithDefaultServiceConfig(noTime)),
		"WithDisableRetry":         one(grpc.WithDisableRetry()),
		"WithMaxHeaderListSize":    one(grpc.WithMaxHeaderListSize(1 << 20)),
		"WithResolvers":            one(grpc.WithResolvers()),
		"WithIdleTimeout":          one(grpc.WithIdleTimeout(time.Hour)),
		"WithMaxCallAttempts":      one(grpc.WithMaxCallAttempts(3)),
		// deprecated
		"WithCodec":                 {},
		"WithCompressor":            {},
		"WithDecompressor":          {},
		"WithBackoffMaxDelay":       {},
		"WithBackoffConfig":         {},
		"WithReturnConnectionError": {},
		"WithTimeout":               {},
		"WithDialer":                {},
		"FailOnNonTempDialError":    {},
	}
}

// sendsHeader shows that a Put has the header name with the value want.
func sendsHeader(name, want string) func(*testing.T, *etcdfake.Server, *Client) {
	return func(t *testing.T, s *etcdfake.Server, _ *Client) {
		assert.Contains(t, strings.Join(s.LastMetadata("Put").Get(name), " "), want)
	}
}

// optionCases has each exported function of gRPC that returns a DialOption.
func optionCases() map[string]optionCase {
	var counting countingStats
	var called atomic.Int64
	ran := func(t *testing.T, _ *etcdfake.Server, _ *Client) { assert.NotZero(t, called.Swap(0)) }
	dialer := func(ctx context.Context, a string) (net.Conn, error) {
		called.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "tcp", a)
	}
	cases := servedOptions()
	maps.Copy(cases, interceptorCases(&called, ran))
	maps.Copy(cases, map[string]optionCase{
		"WithDefaultCallOptions": {opts: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1))},
			shows: func(t *testing.T, _ *etcdfake.Server, c *Client) {
				_, err := pb.NewKVClient(c.ActiveConnection()).Put(t.Context(),
					&pb.PutRequest{Key: []byte("k")})
				assert.Equal(t, codes.ResourceExhausted, status.Code(err))
			}},
		"WithNoProxy": {opts: []grpc.DialOption{grpc.WithNoProxy()},
			shows: func(t *testing.T, _ *etcdfake.Server, c *Client) {
				assert.True(t, c.dialer.noProxy)
			}},
		"WithTransportCredentials": {opts: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials())},
			shows: func(t *testing.T, _ *etcdfake.Server, c *Client) {
				assert.True(t, c.user.credentials)
			}},
		"WithPerRPCCredentials": {opts: []grpc.DialOption{
			grpc.WithPerRPCCredentials(headerCreds{})}, shows: sendsHeader("from-creds", "yes")},
		"WithCredentialsBundle": {opts: []grpc.DialOption{
			grpc.WithCredentialsBundle(plainBundle{})}, refused: "credentials"},
		"WithContextDialer": {opts: []grpc.DialOption{grpc.WithContextDialer(dialer)},
			shows: func(t *testing.T, s *etcdfake.Server, c *Client) {
				ran(t, s, c)
				assert.True(t, c.user.dialer)
			}},
		"WithStatsHandler": {opts: []grpc.DialOption{grpc.WithStatsHandler(&counting)},
			shows: func(t *testing.T, _ *etcdfake.Server, _ *Client) {
				assert.NotZero(t, counting.rpcs.Load())
			}},
		"WithUserAgent": {opts: []grpc.DialOption{grpc.WithUserAgent("mine")},
			shows: sendsHeader("user-agent", "mine")},
		"WithAuthority": {opts: []grpc.DialOption{grpc.WithAuthority("x.example")},
			shows: sendsHeader(":authority", "x.example")},
		"WithDisableServiceConfig": {opts: []grpc.DialOption{grpc.WithDisableServiceConfig()},
			shows: func(t *testing.T, s *etcdfake.Server, _ *Client) {
				eventually(t, func() bool { return healthChecks(s) > 0 },
					"the client's balancer follows the member's health")
			}},
		"WithDisableHealthCheck": {opts: []grpc.DialOption{grpc.WithDisableHealthCheck()},
			shows: func(t *testing.T, s *etcdfake.Server, _ *Client) {
				assert.Zero(t, healthChecks(s))
			}},
	})
	return cases
}

// interceptorCases have the options that install interceptors.
func interceptorCases(
	called *atomic.Int64, ran func(*testing.T, *etcdfake.Server, *Client),
) map[string]optionCase {
	unary := func(ctx context.Context, m string, req, reply any, cc *grpc.ClientConn,
		next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		called.Add(1)
		return next(ctx, m, req, reply, cc, opts...)
	}
	stream := func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, m string,
		next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		called.Add(1)
		return next(ctx, d, cc, m, opts...)
	}
	counted := func(opt grpc.DialOption) optionCase {
		return optionCase{opts: []grpc.DialOption{opt}, shows: ran}
	}
	return map[string]optionCase{
		"WithUnaryInterceptor":       counted(grpc.WithUnaryInterceptor(unary)),
		"WithChainUnaryInterceptor":  counted(grpc.WithChainUnaryInterceptor(unary)),
		"WithStreamInterceptor":      counted(grpc.WithStreamInterceptor(stream)),
		"WithChainStreamInterceptor": counted(grpc.WithChainStreamInterceptor(stream)),
	}
}

// healthChecks returns how often a member's health was asked for.
func healthChecks(s *etcdfake.Server) int {
	_, total := s.Streams(healthpb.Health_Watch_FullMethodName)
	return total
}

// TestEveryDialOptionKeepsItsMeaning: or Config.DialOptions says what becomes of it.
func TestEveryDialOptionKeepsItsMeaning(t *testing.T) {
	cases := optionCases()
	assert.ElementsMatch(t, dialOptionsOfGRPC(t), slices.Collect(maps.Keys(cases)),
		"gRPC's dial options and those of the table")
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := etcdfake.Start(t)
			c, err := New(Config{Endpoints: []string{s.Addr()}, DialOptions: tc.opts,
				Logger: testLogger(t, Config{})})
			if tc.refused != "" {
				require.ErrorContains(t, err, tc.refused)
				return
			}
			require.NoError(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err = c.Put(ctx, "k", "v")
			require.NoError(t, err)
			stream, err := c.GetStream(ctx, "k")
			require.NoError(t, err)
			_, err = GetStreamToGetResponse(stream)
			require.NoError(t, err)
			if tc.shows != nil {
				tc.shows(t, s, c)
			}
		})
	}
}

// dialOptionsOfGRPC reads gRPC's sources.
func dialOptionsOfGRPC(t *testing.T) (names []string) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "google.golang.org/grpc").Output()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil ||
				len(fn.Type.Results.List) != 1 {
				continue
			}
			if id, ok := fn.Type.Results.List[0].Type.(*ast.Ident); ok && id.Name == "DialOption" {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// TestDisabledServiceConfig: the limits on messages do not depend on it, and a default
// of the user's takes effect then, as gRPC documents.
func TestDisabledServiceConfig(t *testing.T) {
	s, c := newFakeClient(t, Config{DialOptions: []grpc.DialOption{
		grpc.WithDisableServiceConfig()}})
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		_, err := c.Put(t.Context(), k, strings.Repeat("v", 1<<20))
		require.NoError(t, err)
	}
	_, err := c.Get(t.Context(), "a", WithFromKey())
	require.NoError(t, err, "over gRPC's own 4 MiB")
	_, err = pb.NewKVClient(c.ActiveConnection()).Range(t.Context(),
		&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err),
		"a stub of the user's has gRPC's own limits")

	own := newTestClient(t, Config{Endpoints: []string{s.Addr()}, DialOptions: []grpc.DialOption{
		grpc.WithDisableServiceConfig(), grpc.WithDefaultServiceConfig(noTime),
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = own.Put(ctx, "k", "v")
	assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
}

// TestUsersDialerGetsWhatCannotBeParsed: as it is.
func TestUsersDialerGetsWhatCannotBeParsed(t *testing.T) {
	s := etcdfake.Start(t)
	for ep, want := range map[string]string{
		"inmem://x": "inmem://x", "passthrough:///x": "passthrough:///x", "a/b": "a/b",
		"n:1:2":     "n:1:2",
		"unix:/p/s": "unix:///p/s", "unix:///p/s": "unix:///p/s", "unix:s": "unix:s",
		"http://h:1": "h:1",
	} {
		got := make(chan string, 1)
		c := newTestClient(t, Config{Endpoints: []string{ep}, DialOptions: []grpc.DialOption{
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

// TestSecureCredentialsGoByConnection: per-RPC credentials that require encryption are
// sent on encrypted connections only, whether by scheme or by Config.TLS.
func TestSecureCredentialsGoByConnection(t *testing.T) {
	opts := []grpc.DialOption{grpc.WithPerRPCCredentials(headerCreds{secure: true})}
	_, err := New(Config{Endpoints: []string{"http://127.0.0.1:1"}, TLS: &tls.Config{},
		DialOptions: opts, Logger: testLogger(t, Config{})})
	require.ErrorContains(t, err, "credentials", "no endpoint is encrypted")
	newTestClient(t, Config{Endpoints: []string{"https://127.0.0.1:1"}, DialOptions: opts})

	plain := etcdfake.Start(t)
	c := newTestClient(t, Config{Endpoints: []string{"http://" + plain.Addr(),
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

// TestUsersBundleSecuresConnections shows that a bundle of credentials in DialOptions is used
// for connections once the client's own credentials are taken away, as gRPC requires.
func TestUsersBundleSecuresConnections(t *testing.T) {
	var handshakes atomic.Int64
	_, c := newFakeClient(t, Config{DialOptions: []grpc.DialOption{
		grpc.WithTransportCredentials(nil), grpc.WithCredentialsBundle(
			countingBundle{handshakes: &handshakes}),
	}})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.NotZero(t, handshakes.Load())
}

// TestUnknownOptionsKeepTheUsersCredentials shows what a release of gRPC with other private
// fields leads to: the client's own credentials never displace those that a program may have set.
func TestUnknownOptionsKeepTheUsersCredentials(t *testing.T) {
	own := insecure.NewCredentials()
	for name, options := range map[string]any{
		"no fields":         struct{}{},
		"other types":       struct{ copts, useProxy, disableHealthCheck int }{},
		"fields elsewhere":  struct{ copts struct{ Creds any } }{},
		"a pointer instead": &struct{}{},
	} {
		u := replacedIn(reflect.ValueOf(options), nil, own)
		assert.Equal(t, userOptions{credentials: true}, u, name)
	}
	assert.Equal(t, userOptions{credentials: true}, replacedIn(reflect.Value{}, nil, own))
}
