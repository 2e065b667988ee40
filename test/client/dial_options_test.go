package client_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// optionCase is a dial option of gRPC and a function that shows its effect. Without such a function
// it is enough that requests are served.
type optionCase struct {
	opts    []grpc.DialOption
	refused string // for an option that New refuses: a part of the expected error
	shows   func(t *testing.T, s *etcdfake.Server, c *clientv3.Client)
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

// servedOptions returns options for which the test checks only that requests are served: their
// effect is not visible here, or they are deprecated and New ignores them.
func servedOptions() map[string]optionCase {
	one := func(o ...grpc.DialOption) optionCase { return optionCase{opts: o} }
	return map[string]optionCase{
		//nolint:staticcheck // programs use it
		"WithSharedWriteBuffer":      one(grpc.WithSharedWriteBuffer(false)),
		"WithWriteBufferSize":        one(grpc.WithWriteBufferSize(1)),
		"WithReadBufferSize":         one(grpc.WithReadBufferSize(1)),
		"WithInitialWindowSize":      one(grpc.WithInitialWindowSize(1 << 20)),
		"WithInitialConnWindowSize":  one(grpc.WithInitialConnWindowSize(1 << 20)),
		"WithStaticStreamWindowSize": one(grpc.WithStaticStreamWindowSize(1 << 20)),
		"WithStaticConnWindowSize":   one(grpc.WithStaticConnWindowSize(1 << 20)),
		//nolint:staticcheck // programs use it
		"WithMaxMsgSize": one(grpc.WithMaxMsgSize(1)),
		"WithConnectParams": one(grpc.WithConnectParams(
			grpc.ConnectParams{Backoff: backoff.DefaultConfig})),
		//nolint:staticcheck // programs use it
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
func sendsHeader(name, want string) func(*testing.T, *etcdfake.Server, *clientv3.Client) {
	return func(t *testing.T, s *etcdfake.Server, _ *clientv3.Client) {
		assert.Contains(t, strings.Join(s.LastMetadata("Put").Get(name), " "), want)
	}
}

// optionCases returns a case for each exported function of gRPC that returns a DialOption.
func optionCases() map[string]optionCase {
	var counting countingStats
	var called atomic.Int64
	ran := func(t *testing.T, _ *etcdfake.Server, _ *clientv3.Client) {
		assert.NotZero(t, called.Swap(0))
	}
	dialer := func(ctx context.Context, a string) (net.Conn, error) {
		called.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "tcp", a)
	}
	cases := servedOptions()
	maps.Copy(cases, interceptorCases(&called, ran))
	maps.Copy(cases, map[string]optionCase{
		"WithDefaultCallOptions": {opts: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1))},
			shows: func(t *testing.T, _ *etcdfake.Server, c *clientv3.Client) {
				_, err := pb.NewKVClient(c.ActiveConnection()).Put(t.Context(),
					&pb.PutRequest{Key: []byte("k")})
				assert.Equal(t, codes.ResourceExhausted, status.Code(err))
			}},
		// TestProxyOfTheEnvironment shows its effect, which needs a process of its own.
		"WithNoProxy": {opts: []grpc.DialOption{grpc.WithNoProxy()}},
		"WithTransportCredentials": {opts: []grpc.DialOption{
			grpc.WithTransportCredentials(countingCreds{insecure.NewCredentials(), &called})},
			shows: ran},
		"WithPerRPCCredentials": {opts: []grpc.DialOption{
			grpc.WithPerRPCCredentials(headerCreds{})}, shows: sendsHeader("from-creds", "yes")},
		"WithCredentialsBundle": {opts: []grpc.DialOption{
			grpc.WithCredentialsBundle(plainBundle{})}, refused: "credentials"},
		"WithContextDialer": {opts: []grpc.DialOption{grpc.WithContextDialer(dialer)},
			shows: ran},
		"WithStatsHandler": {opts: []grpc.DialOption{grpc.WithStatsHandler(&counting)},
			shows: func(t *testing.T, _ *etcdfake.Server, _ *clientv3.Client) {
				assert.NotZero(t, counting.rpcs.Load())
			}},
		"WithUserAgent": {opts: []grpc.DialOption{grpc.WithUserAgent("mine")},
			shows: sendsHeader("user-agent", "mine")},
		"WithAuthority": {opts: []grpc.DialOption{grpc.WithAuthority("x.example")},
			shows: sendsHeader(":authority", "x.example")},
		"WithDisableServiceConfig": {opts: []grpc.DialOption{grpc.WithDisableServiceConfig()},
			shows: func(t *testing.T, s *etcdfake.Server, _ *clientv3.Client) {
				testclient.Eventually(t, func() bool { return healthChecks(s) > 0 },
					"the client's balancer follows the member's health")
			}},
		"WithDisableHealthCheck": {opts: []grpc.DialOption{grpc.WithDisableHealthCheck()},
			shows: func(t *testing.T, s *etcdfake.Server, _ *clientv3.Client) {
				assert.Zero(t, healthChecks(s))
			}},
	})
	return cases
}

// interceptorCases returns the cases of options that install interceptors.
func interceptorCases(
	called *atomic.Int64, ran func(*testing.T, *etcdfake.Server, *clientv3.Client),
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

// healthChecks returns how many health checks the member has received.
func healthChecks(s *etcdfake.Server) int {
	_, total := s.Streams(healthpb.Health_Watch_FullMethodName)
	return total
}

// TestEveryDialOptionKeepsItsMeaning: each dial option has the effect that gRPC documents, or the
// documentation of Config.DialOptions says what happens to it.
func TestEveryDialOptionKeepsItsMeaning(t *testing.T) {
	cases := optionCases()
	assert.ElementsMatch(t, dialOptionsOfGRPC(t), slices.Collect(maps.Keys(cases)),
		"gRPC's dial options and those of the table")
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := etcdfake.Start(t)
			c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Addr()},
				DialOptions: tc.opts,
				Logger:      testclient.Logger(t, clientv3.Config{})})
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
			_, err = clientv3.GetStreamToGetResponse(stream)
			require.NoError(t, err)
			if tc.shows != nil {
				tc.shows(t, s, c)
			}
		})
	}
}

// dialOptionsOfGRPC returns the names of all functions in gRPC's sources that return a DialOption.
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
