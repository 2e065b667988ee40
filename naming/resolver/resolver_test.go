package resolver_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	gresolver "google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
)

// servedBy calls the service until the answers come from all the addresses addrs and from no other
// address. It returns how long that took.
func servedBy(t *testing.T, conn *grpc.ClientConn, addrs ...string) time.Duration {
	t.Helper()
	slices.Sort(addrs)
	took := testclient.Stopwatch(t)
	require.Eventually(t, func() bool {
		var got []string
		for range 4 * len(addrs) {
			addr, err := ask(t.Context(), conn, grpc.WaitForReady(true))
			require.NoError(t, err)
			got = append(got, addr)
		}
		slices.Sort(got)
		return slices.Equal(addrs, slices.Compact(got))
	}, time.Minute, time.Millisecond, "%q", addrs)
	return took()
}

// comparingPolicy is the name of a balancer policy that compares the addresses of each update with
// the previous addresses. Otherwise it works as pick_first.
const comparingPolicy = "test_comparing"

func init() { balancer.Register(comparingBuilder{}) }

type comparingBuilder struct{}

func (comparingBuilder) Name() string { return comparingPolicy }

func (comparingBuilder) Build(
	cc balancer.ClientConn, opts balancer.BuildOptions,
) balancer.Balancer {
	return &comparing{Balancer: balancer.Get(pickfirst.Name).Build(cc, opts)}
}

type comparing struct {
	balancer.Balancer
	before []gresolver.Address
}

func (c *comparing) UpdateClientConnState(s balancer.ClientConnState) error {
	if slices.EqualFunc(c.before, s.ResolverState.Addresses, gresolver.Address.Equal) {
		return nil
	}
	c.before, s.BalancerConfig = s.ResolverState.Addresses, nil
	return c.Balancer.UpdateClientConnState(s)
}

// soon limits the time from a change of the endpoints until calls use them, while etcd serves.
const soon = time.Second

// TestConnectionFollowsChanges: a connection uses the new endpoints soon after a change. This also
// holds if the changes were compacted while the resolver had no connection to etcd, and after
// restarts of all members.
func TestConnectionFollowsChanges(t *testing.T) {
	ctx := testContext(t)
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	var proxies []*faultnet.Proxy
	var addrs []string
	for _, m := range cluster.Members() {
		proxies = append(proxies, faultnet.New(t, m.Address()))
		addrs = append(addrs, proxies[len(proxies)-1].Addr())
	}
	near, far := newClient(t, cluster.Endpoints()...), newClient(t, addrs...)
	m := newManager(t, near, "svc")
	add := func(name, addr string) {
		require.NoError(t, m.AddEndpoint(ctx, "svc/"+name, endpoints.Endpoint{Addr: addr}))
	}
	a, b, c := newServer(t), newServer(t), newServer(t)
	conn := dial(t, far, "svc")

	add("1", a)
	require.Less(t, servedBy(t, conn, a), soon)
	add("2", b)
	require.Less(t, servedBy(t, conn, a, b), soon)
	require.NoError(t, m.DeleteEndpoint(ctx, "svc/1"))
	require.Less(t, servedBy(t, conn, b), soon)
	add("2", c)
	require.Less(t, servedBy(t, conn, c), soon)

	for _, p := range proxies {
		p.Refuse()
		p.Reset()
	}
	add("1", a)
	add("2", b)
	resp, err := near.Get(ctx, "svc/1")
	require.NoError(t, err)
	_, err = near.Compact(ctx, resp.Header.Revision)
	require.NoError(t, err)
	servedBy(t, conn, c) // the connection keeps the last known endpoints
	for _, p := range proxies {
		p.Heal()
	}
	took := servedBy(t, conn, a, b)
	t.Logf("after a compaction: %v", took)
	require.Less(t, took, soon)

	for _, left := range [][]string{{a, c}, {b, c}} {
		cluster.Kill()
		servedBy(t, conn, a, b)
		require.NoError(t, cluster.Restart())
		add("1", left[0])
		add("2", left[1])
		took := servedBy(t, conn, left...)
		t.Logf("after a restart: %v", took)
		require.Less(t, took, soon)
		add("1", a)
		add("2", b)
		require.Less(t, servedBy(t, conn, a, b), soon)
	}
}

// TestMetadataOfObjectsCanBeCompared: metadata that is a JSON object or array does not break a
// balancer policy that compares addresses with ==. Go cannot compare maps and slices with ==, so
// the resolver passes pointers to them.
func TestMetadataOfObjectsCanBeCompared(t *testing.T) {
	ctx, cli := testContext(t), newClient(t, shared.Endpoints()...)
	m := newManager(t, cli, "objects")
	a, b := newServer(t), newServer(t)
	put := func(addr string, metadata any) {
		require.NoError(t, m.AddEndpoint(ctx, "objects/1",
			endpoints.Endpoint{Addr: addr, Metadata: metadata}))
	}
	put(a, map[string]any{"zone": "x"})
	builder, err := resolver.NewBuilder(cli)
	require.NoError(t, err)
	conn, err := grpc.NewClient("etcd:///objects", grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+comparingPolicy+`":{}}]}`))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	servedBy(t, conn, a)
	for _, metadata := range []any{map[string]any{"zone": "y"}, []any{1, map[string]any{}},
		[]any{2}, map[string]any{}, "text", map[string]any{}} {
		put(a, metadata)
		put(b, metadata)
		servedBy(t, conn, b)
		put(a, metadata)
		servedBy(t, conn, a)
	}
}

// TestNoEndpoints: while a name has no endpoint yet, calls wait for the first one. After the last
// endpoint was deleted, calls fail at once.
func TestNoEndpoints(t *testing.T) {
	ctx, cli := testContext(t), newClient(t, shared.Endpoints()...)
	m := newManager(t, cli, "none")
	conn := dial(t, cli, "none")
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err := ask(short, conn)
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))

	addr := newServer(t)
	require.NoError(t, m.AddEndpoint(ctx, "none/a", endpoints.Endpoint{Addr: addr}))
	got, err := ask(ctx, conn)
	require.NoError(t, err)
	require.Equal(t, addr, got)

	require.NoError(t, m.DeleteEndpoint(ctx, "none/a"))
	require.Eventually(t, func() bool {
		_, err := ask(ctx, conn)
		return status.Code(err) == codes.Unavailable
	}, time.Minute, time.Millisecond)
}

// TestClosedClientLeavesEndpoints: a connection keeps its endpoints after the etcd client is
// closed.
func TestClosedClientLeavesEndpoints(t *testing.T) {
	ctx, cli := testContext(t), newClient(t, shared.Endpoints()...)
	addr := newServer(t)
	require.NoError(t, newManager(t, cli, "closed").AddEndpoint(ctx, "closed/a",
		endpoints.Endpoint{Addr: addr}))
	conn := dial(t, cli, "closed")
	servedBy(t, conn, addr)
	require.NoError(t, cli.Close())
	servedBy(t, conn, addr)

	_, err := ask(ctx, dial(t, cli, "closed"))
	require.Error(t, err, "a new connection knows none, and says so")
	require.NoError(t, ctx.Err())
}

// TestRefusedListFailsCalls: if etcd refuses to list the endpoints, calls without WaitForReady fail
// with etcd's error.
func TestRefusedListFailsCalls(t *testing.T) {
	ctx := testContext(t)
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.AddUser("nobody", "pw"))
	require.NoError(t, cluster.EnableAuth("rootpw"))
	cli, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints(), Username: "nobody",
		Password: "pw"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cli.Close()) })
	_, err = ask(ctx, dial(t, cli, "svc"))
	require.ErrorContains(t, err, "permission denied")
}
