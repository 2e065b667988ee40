package balancer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

// grpcErrors are the lines that gRPC has logged as errors in this process.
var grpcErrors errorLines

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(discard{}, discard{}, &grpcErrors))
	goleak.VerifyTestMain(m)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type errorLines struct {
	mu    sync.Mutex
	lines []string
}

func (e *errorLines) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, string(p))
	return len(p), nil
}

func (e *errorLines) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.lines...)
}

// channel is a gRPC connection that uses this package's load balancing policy.
type channel struct {
	*grpc.ClientConn
	resolver *manual.Resolver
	tracker  *Tracker
}

func dial(t *testing.T, servers ...*server) *channel {
	c := &channel{resolver: manual.NewBuilderWithScheme("manual")}
	c.tracker = New(t.Context(), Options{HealthCheck: true})
	c.resolver.InitialState(c.state(servers...))
	var err error
	c.ClientConn, err = grpc.NewClient("manual:///", grpc.WithResolvers(c.resolver),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"loadBalancingConfig": [{%q: {}}]}`, Name)))
	require.NoError(t, err)
	t.Cleanup(func() {
		c.tracker.Close()
		_ = c.Close()
	})
	c.Connect()
	return c
}

func (c *channel) state(servers ...*server) resolver.State {
	s := resolver.State{Attributes: c.tracker.Attributes()}
	for _, server := range servers {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{
			Addresses: []resolver.Address{{Addr: server.addr}}})
	}
	return s
}

func (c *channel) put(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pb.NewKVClient(c).Put(ctx, &pb.PutRequest{Key: []byte("k")}, grpc.WaitForReady(true))
	return err
}

func (c *channel) until(t *testing.T, want connectivity.State) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for s := c.GetState(); s != want; s = c.GetState() {
		require.True(t, c.WaitForStateChange(ctx, s), "it is %v for good", s)
	}
}

func eventually(t *testing.T, condition func() bool, what string) {
	require.Eventually(t, condition, time.Minute, 5*time.Millisecond, what)
}

// TestMemberWithoutHealthServiceCountsAsServing: a server without a health service, such as etcd's
// proxy, serves, and nothing is logged about it. gRPC's own health check prints an error to stderr
// for each connection to such a server, so the policy follows health by itself.
func TestMemberWithoutHealthServiceCountsAsServing(t *testing.T) {
	before := len(grpcErrors.all())
	s := newServer(nil)
	s.serve(t)
	c := dial(t, s)
	c.until(t, connectivity.Ready)
	require.NoError(t, c.put(t))
	require.NoError(t, c.Close())
	assert.Empty(t, grpcErrors.all()[before:])
}

// TestRefusedHealthChecks: a member that refuses the health check, with any error, gets no requests
// while another member serves.
func TestRefusedHealthChecks(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unavailable} {
		t.Run(code.String(), func(t *testing.T) {
			refuses, other := startServer(t, status.Error(code, "refused")), startServer(t, nil)
			c := dial(t, refuses, other)
			for range 10 {
				require.NoError(t, c.put(t))
			}
			assert.Equal(t, []int32{0, 10}, []int32{refuses.puts.Load(), other.puts.Load()})
			other.grpc.Stop()
			eventually(t, func() bool {
				return c.put(t) == nil && refuses.puts.Load() > 0
			}, "it is the last resort")
		})
	}
}

// TestCheckEndsWithItsConnection: each connection has one health check, which ends when the
// connection ends.
func TestCheckEndsWithItsConnection(t *testing.T) {
	s := startServer(t, nil)
	c := dial(t, s)
	for i := range 20 {
		eventually(t, func() bool {
			return c.put(t) == nil && s.accepted.Load() == int32(i+1)
		}, "served by a new connection")
		eventually(t, func() bool { return s.checks.Load() == 1 }, "one check")
		s.cut()
	}
}

// TestCloseWaitsForChecks: whatever the health checks are doing when the connection is closed, they
// leave no goroutine and no server connection behind.
func TestCloseWaitsForChecks(t *testing.T) {
	stays, goes := startServer(t, nil), startServer(t, nil)
	refuses := startServer(t, status.Error(codes.Unavailable, "learner"))
	for i := range 30 {
		settled := goleak.IgnoreCurrent()
		c := dial(t, stays, goes, refuses)
		if i%3 > 0 {
			require.NoError(t, c.put(t))
		}
		goes.setServing(i%2 == 0)
		if i%5 == 0 {
			goes.cut()
		}
		c.tracker.Close()
		require.NoError(t, c.Close())
		eventually(t, func() bool {
			return stays.conns()+goes.conns()+refuses.conns() == 0
		}, "the servers' side ends")
		require.NoError(t, goleak.Find(settled))
	}
}

// TestHealthChangesWhileEndpointsDo: servers change their health while the resolver changes the
// list of endpoints. Requests still succeed, and each server in the list has one health check.
func TestHealthChangesWhileEndpointsDo(t *testing.T) {
	stays, goes, comes := startServer(t, nil), startServer(t, nil), startServer(t, nil)
	c := dial(t, stays, goes, comes)
	require.NoError(t, c.put(t))
	for i := range 100 {
		stays.setServing(i%2 == 0)
		goes.setServing(i%2 == 1)
		switch i % 4 {
		case 0:
			c.resolver.UpdateState(c.state(stays, goes))
		case 2:
			c.resolver.UpdateState(c.state(stays, goes, comes))
		}
		require.NoError(t, c.put(t))
	}
	eventually(t, func() bool {
		return stays.checks.Load() == 1 && goes.checks.Load() == 1 && comes.checks.Load() == 1
	}, "one check each")
	c.resolver.UpdateState(c.state(stays))
	eventually(t, func() bool {
		return stays.checks.Load() == 1 && goes.checks.Load()+comes.checks.Load() == 0
	}, "checks end with their member")
}
