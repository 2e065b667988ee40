package lease_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// fleet has many leases that one client keeps. The client in the field judge asks a server which
// leases exist.
type fleet struct {
	client, judge *clientv3.Client
	ids           []clientv3.LeaseID
	channels      []<-chan *clientv3.LeaseKeepAliveResponse
	ends          []*clientv3.KeepAliveEnd
}

func newFleet(t *testing.T, client, judge *clientv3.Client, n int, ttl int64) *fleet {
	t.Helper()
	f := &fleet{client: client, judge: judge}
	for range n {
		id := grant(t, client, ttl)
		ctx, end := clientv3.WithKeepAliveEnd(context.Background())
		ch, err := client.KeepAlive(ctx, id)
		require.NoError(t, err)
		f.ids, f.channels, f.ends = append(f.ids, id), append(f.channels, ch), append(f.ends, end)
	}
	f.requireKept(t)
	return f
}

// requireKept waits for two more answers for each lease. The first may have been on its way before
// requireKept was called; the second was not. Then it checks that the server has all leases.
func (f *fleet) requireKept(t *testing.T) {
	t.Helper()
	for i, ch := range f.channels {
		require.True(t, isOpen(ch), "lease %d: %v", i, f.ends[i].Err())
	}
	for i, ch := range f.channels {
		for range 2 {
			select {
			case _, ok := <-ch:
				require.True(t, ok, "lease %d: %v", i, f.ends[i].Err())
			case <-time.After(soon):
				require.FailNow(t, "no renewal", "lease %d", i)
			}
		}
	}
	resp, err := f.judge.Leases(t.Context())
	require.NoError(t, err)
	require.Len(t, resp.Leases, len(f.ids))
}

// servesKeepAlives returns the member that answers renewals.
func (f *fleet) servesKeepAlives(t *testing.T, cluster *etcdtest.Cluster) *etcdtest.Member {
	t.Helper()
	isOpen(f.channels[0])
	resp := next(t, f.channels[0])
	for _, m := range cluster.Members() {
		if m.ID() == resp.MemberId {
			return m
		}
	}
	require.FailNow(t, "no such member", "%x", resp.MemberId)
	return nil
}

// keptWithout kills a member, requires that the leases are kept, and starts the member again.
func (f *fleet) keptWithout(t *testing.T, m *etcdtest.Member) {
	t.Helper()
	m.Kill()
	f.requireKept(t)
	require.NoError(t, m.Restart())
}

// pause stops a member for three seconds.
func pause(t *testing.T, m *etcdtest.Member) {
	t.Helper()
	require.NoError(t, m.Pause())
	time.Sleep(3 * time.Second)
	require.NoError(t, m.Resume())
}

// TestLeasesOutliveFaults: 200 leases of 5 s outlive one fault after another.
func TestLeasesOutliveFaults(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	proxyOf := make(map[*etcdtest.Member]*faultnet.Proxy)
	client := testclient.Open(t, cluster, func(cfg *clientv3.Config) {
		cfg.Endpoints = nil
		for _, m := range cluster.Members() {
			p := faultnet.New(t, m.Address())
			proxyOf[m] = p
			cfg.Endpoints = append(cfg.Endpoints, p.Addr())
		}
	})
	f := newFleet(t, client, testclient.Open(t, cluster), 200, 5)

	reset := func() {
		for _, p := range proxyOf {
			p.Reset()
		}
	}
	for _, fault := range []struct {
		name string
		do   func()
	}{
		{"reset", reset},
		{"stop the member that answers", func() { pause(t, f.servesKeepAlives(t, cluster)) }},
		{"cut the member that answers off", func() {
			p := proxyOf[f.servesKeepAlives(t, cluster)]
			p.Blackhole(faultnet.Both)
			time.Sleep(4 * time.Second)
			p.Heal()
		}},
		{"stop the leader", func() { pause(t, cluster.Leader()) }},
		{"kill the leader", func() { f.keptWithout(t, cluster.Leader()) }},
		{"kill the member that answers", func() {
			f.keptWithout(t, f.servesKeepAlives(t, cluster))
		}},
	} {
		start := time.Now()
		fault.do()
		f.requireKept(t)
		t.Logf("%s: all kept, %v", fault.name, time.Since(start).Round(time.Millisecond))
	}

	require.NoError(t, client.Close())
	for i, ch := range f.channels {
		waitClosed(t, ch)
		require.ErrorIs(t, f.ends[i].Err(), context.Canceled)
	}
	require.Eventually(t, func() bool {
		resp, err := f.judge.Leases(t.Context())
		return err == nil && len(resp.Leases) == 0
	}, 3*soon, 100*time.Millisecond, "all expire after Close")
}

func TestRevokeOnARealServer(t *testing.T) {
	client := testclient.Open(t, etcdtest.Start(t))
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	id := grant(t, client, 600)
	ch := keep(t, client, ctx, id)
	_, err := client.Revoke(t.Context(), id)
	require.NoError(t, err)
	assert.False(t, isOpen(ch))
	assert.Equal(t, clientv3.ErrLeaseRevoked, end.Err())
}

// TestFailedGrantsDoNotResetKeepAlives: the leader is killed while leases are granted. The client's
// keepalives go on, and a KeepAlive of a new lease works.
func TestFailedGrantsDoNotResetKeepAlives(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	client := testclient.Open(t, cluster)
	ch := keep(t, client, t.Context(), grant(t, client, 8))
	lost := cluster.Leader()
	failed := 0
	for i := range 200 {
		if i == 20 {
			lost.Kill()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := client.Grant(ctx, 60); err != nil {
			failed++
		}
		cancel()
	}
	assert.Positive(t, failed)
	next(t, ch)
	keep(t, client, t.Context(), grant(t, client, 60))
	assert.True(t, isOpen(ch))
}

// TestLostLeaderOnRealServers: when the cluster loses its leader, the keepalive channels that were
// opened with WithRequireLeader are closed, and the other channels stay open. The client always
// opens its keepalive stream with WithRequireLeader. Otherwise the server would answer a renewal
// only after seven seconds, with an error.
func TestLostLeaderOnRealServers(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
	survivor := cluster.Members()[0]
	client := testclient.Open(t, cluster, func(cfg *clientv3.Config) {
		cfg.Endpoints = []string{survivor.Endpoint()}
	})
	id := grant(t, client, 600)
	ctx, end := clientv3.WithKeepAliveEnd(clientv3.WithRequireLeader(t.Context()))
	strict, plain := keep(t, client, ctx, id), keepMore(t, client, t.Context(), id)
	for _, m := range cluster.Members()[1:] {
		m.Kill()
	}
	waitClosed(t, strict)
	assert.Equal(t, rpctypes.ErrNoLeader, end.Err())
	assert.True(t, isOpen(plain))

	late, end := clientv3.WithKeepAliveEnd(clientv3.WithRequireLeader(t.Context()))
	waitClosed(t, keepMore(t, client, late, id))
	assert.Equal(t, rpctypes.ErrNoLeader, end.Err())
	for _, m := range cluster.Members()[1:] {
		require.NoError(t, m.Restart())
	}
	assert.True(t, isOpen(plain))
}

func TestKeepAliveOnceIsNoFailureForTheServer(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	cluster := etcdtest.Start(t)
	client := testclient.Open(t, cluster)
	id := grant(t, client, 60)
	for range 50 {
		_, err := client.KeepAliveOnce(t.Context(), id)
		require.NoError(t, err)
	}
	m := cluster.Members()[0]
	ok, err := m.Metric("grpc_server_handled_total", `grpc_method="LeaseKeepAlive"`,
		`grpc_code="OK"`)
	require.NoError(t, err)
	all, err := m.Metric("grpc_server_handled_total", `grpc_method="LeaseKeepAlive"`)
	require.NoError(t, err)
	assert.EqualValues(t, 50, ok)
	assert.Equal(t, ok, all)
	log, err := os.ReadFile(m.LogFile())
	require.NoError(t, err)
	assert.NotContains(t, strings.ToLower(string(log)), "lease keepalive")
}

// TestKeepAlivesOutliveTheirTokens: leases are kept while the client's token expires several times.
func TestKeepAlivesOutliveTheirTokens(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]etcdtest.Option{"simple": etcdtest.WithAuthTTL(time.Second),
		"JWT": etcdtest.WithJWT(2 * time.Second)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.Start(t, opt)
			require.NoError(t, cluster.EnableAuth("pw"))
			client := testclient.Open(t, cluster, testclient.AsUser("root", "pw"))
			quick, slow := grant(t, client, 3), grant(t, client, 12)
			first, second := keep(t, client, t.Context(), quick), keep(t, client, t.Context(), slow)
			for range 2 { // the answers are 4 s apart, longer than a token lives
				next(t, second)
			}
			assert.True(t, isOpen(first))
			next(t, first)
			assert.True(t, isOpen(second))
			_, err := client.KeepAliveOnce(t.Context(), quick)
			require.NoError(t, err)
		})
	}
}

func TestKeepAliveOnceUsesTheTokenThereIs(t *testing.T) {
	etcdtest.NeedsEtcd(t, "metrics")
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.EnableAuth("pw"))
	client := testclient.Open(t, cluster, testclient.AsUser("root", "pw"))
	id := grant(t, client, 60)
	logins := func() float64 {
		n, err := cluster.Members()[0].Metric("grpc_server_handled_total",
			`grpc_method="Authenticate"`)
		require.NoError(t, err)
		return n
	}
	before := logins()
	for range 50 {
		_, err := client.KeepAliveOnce(t.Context(), id)
		require.NoError(t, err)
	}
	assert.Equal(t, before, logins())
}

// TestDeniedLeaseEndsAlone: a user keeps a lease that has a key which the user may not write. The
// server ends the keepalive stream with a status that does not name the lease. Servers answer in
// order, so the client gives up the lease whose request is the oldest without an answer. It keeps
// its other leases on the next stream.
func TestDeniedLeaseEndsAlone(t *testing.T) {
	cluster := etcdtest.Start(t)
	require.NoError(t, cluster.EnableAuth("pw"))
	require.NoError(t, cluster.AddRole("mine",
		&authpb.Permission{PermType: authpb.READWRITE, Key: []byte("mine")}))
	require.NoError(t, cluster.AddUser("alice", "pw", "mine"))
	root, alice := testclient.Open(t, cluster, testclient.AsUser("root", "pw")),
		testclient.Open(t, cluster, testclient.AsUser("alice", "pw"))

	foreign := grant(t, root, 60)
	_, err := root.Put(t.Context(), "secret", "v", clientv3.WithLease(foreign))
	require.NoError(t, err)
	own := grant(t, alice, 3)
	_, err = alice.Put(t.Context(), "mine", "v", clientv3.WithLease(own))
	require.NoError(t, err)

	kept := keep(t, alice, t.Context(), own)
	ctx, end := clientv3.WithKeepAliveEnd(t.Context())
	waitClosed(t, keepMore(t, alice, ctx, foreign))
	assert.Equal(t, rpctypes.ErrPermissionDenied, end.Err())
	for range 3 {
		next(t, kept)
	}
	_, err = alice.KeepAliveOnce(t.Context(), foreign)
	assert.Equal(t, rpctypes.ErrPermissionDenied, err)
}
