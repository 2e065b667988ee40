package client_test

import (
	"context"
	"net"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestSetEndpointsDuringCalls: several goroutines set the endpoints while others call and dial and
// while connections are lost. No call fails. The race detector checks this test, because a
// reconnection reads what an update of the endpoints writes.
func TestSetEndpointsDuringCalls(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	all := []string{members[0].Addr(), members[1].Addr(), members[2].Addr()}
	c := testclient.New(t, clientv3.Config{Endpoints: all})
	var work sync.WaitGroup
	for i := range 3 {
		work.Go(func() {
			for n := range 50 {
				c.SetEndpoints(all[(i+n)%3:]...)
				c.Endpoints()
			}
		})
		work.Go(func() {
			for range 50 {
				_, err := c.Get(t.Context(), "k")
				assert.NoError(t, err)
			}
		})
		work.Go(func() {
			for range 50 {
				members[i].Cut()
				time.Sleep(time.Millisecond)
			}
		})
		work.Go(func() {
			for range 10 {
				conn, err := c.Dial(all[i])
				if assert.NoError(t, err) {
					assert.NoError(t, conn.Close())
				}
			}
		})
	}
	work.Wait()
}

func TestSetEndpointsCopiesAndRejects(t *testing.T) {
	lg, logs := testclient.Observed(zapcore.WarnLevel)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{"127.0.0.1:1"}, Logger: lg})
	eps := []string{"127.0.0.1:2", "127.0.0.1:3"}
	c.SetEndpoints(eps...)
	eps[0] = "changed"
	assert.Equal(t, []string{"127.0.0.1:2", "127.0.0.1:3"}, c.Endpoints())

	c.SetEndpoints()
	c.SetEndpoints("ftp://a:1")
	assert.Equal(t, []string{"127.0.0.1:2", "127.0.0.1:3"}, c.Endpoints(),
		"an empty list is rejected")
	assert.Equal(t, 2, logs.FilterMessage("endpoints not replaced").Len())

	c.SetEndpoints("ftp://a:1", "127.0.0.1:4")
	assert.Equal(t, []string{"127.0.0.1:4"}, c.Endpoints())
	assert.Equal(t, 1, logs.FilterMessage("endpoints left out").Len())
	assert.Contains(t, logs.All()[0].ContextMap(), "error")
}

func TestSetEndpointsMovesRequests(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{members[0].Addr()}})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	c.SetEndpoints(members[1].Addr())
	testclient.Eventually(t, func() bool {
		return members[0].Conns() == 0
	}, "the old connection is closed")
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	assert.Equal(t, 1, members[0].Calls("Put"))
	assert.Equal(t, 1, members[1].Calls("Put"))
}

func TestRequestsGoRoundAllEndpoints(t *testing.T) {
	members := etcdfake.StartCluster(t, 3)
	c := testclient.New(t, clientv3.Config{Endpoints: []string{members[0].Addr(), members[1].Addr(),
		members[2].Addr()}})
	testclient.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
		return members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0 &&
			members[2].Calls("Range") > 0
	}, "every member is asked")
	before := members[0].Calls("Range")
	for range 30 {
		_, err := c.Get(t.Context(), "k")
		require.NoError(t, err)
	}
	assert.Equal(t, 10, members[0].Calls("Range")-before)
}

// TestEndpoints connects to every kind of endpoint and checks the authority of its requests.
func TestEndpoints(t *testing.T) {
	fake := etcdfake.Start(t)
	_, port, err := net.SplitHostPort(fake.Addr())
	require.NoError(t, err)
	secure := etcdtest.Start(t, etcdtest.WithTLS())
	sock := etcdtest.Start(t, etcdtest.WithUnixSocket())
	unixPath := strings.TrimPrefix(sock.Endpoints()[0], "unix:")
	secureSock := etcdtest.Start(t, etcdtest.WithUnixSocket(), etcdtest.WithTLS())
	securePath := strings.TrimPrefix(secureSock.Endpoints()[0], "unixs:")

	secureTLS := secureSock.TLSConfig()
	secureTLS.ServerName = "localhost" // its certificates do not name the socket

	for _, tc := range []struct {
		endpoint  string
		cfg       clientv3.Config
		authority string
	}{
		{"127.0.0.1:" + port, clientv3.Config{}, "127.0.0.1:" + port},
		{"http://127.0.0.1:" + port, clientv3.Config{}, "127.0.0.1:" + port},
		{"http://localhost:" + port, clientv3.Config{TLS: secure.TLSConfig()}, "localhost:" + port},
		{secure.Endpoints()[0], clientv3.Config{TLS: secure.TLSConfig()}, ""},
		{strings.TrimPrefix(secure.Endpoints()[0], "https://"),
			clientv3.Config{TLS: secure.TLSConfig()},
			""},
		{"unix:" + unixPath, clientv3.Config{}, path.Base(unixPath)},
		{"unix://" + unixPath, clientv3.Config{}, path.Base(unixPath)},
		{"unixs:" + securePath, clientv3.Config{TLS: secureTLS}, path.Base(securePath)},
		{"unixs://" + securePath, clientv3.Config{TLS: secureTLS}, path.Base(securePath)},
		{"unix:" + securePath, clientv3.Config{TLS: secureTLS}, path.Base(securePath)},
	} {
		t.Run(tc.endpoint, func(t *testing.T) {
			seen := &authorities{}
			tc.cfg.Endpoints = []string{tc.endpoint}
			tc.cfg.DialOptions = []grpc.DialOption{grpc.WithPerRPCCredentials(seen)}
			c := testclient.New(t, tc.cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := c.Put(ctx, "k", "v")
			require.NoError(t, err)
			if strings.Contains(tc.endpoint, port) {
				assert.Equal(t, []string{tc.authority}, fake.LastMetadata("Put").Get(":authority"))
			}
			if tc.authority != "" && tc.cfg.TLS != secureTLS {
				assert.Equal(t, "https://"+tc.authority+"/etcdserverpb.KV", seen.last.Load())
			}
		})
	}
}

// authorities are per-RPC credentials that record the URI of the last request. gRPC makes the URI
// from the authority and the name of the service.
type authorities struct{ last atomic.Value }

func (a *authorities) GetRequestMetadata(
	_ context.Context, uri ...string,
) (map[string]string, error) {
	a.last.Store(uri[0])
	return nil, nil
}

func (*authorities) RequireTransportSecurity() bool { return false }

// TestIPv6Literal: an IPv6 literal, with or without a zone, may be the only endpoint. The client
// must not use it as gRPC's target, because gRPC parses the target as a URL and a zone is not valid
// there.
func TestIPv6Literal(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	require.NoError(t, err, "the loopback interface has an IPv6 address")
	srv := grpc.NewServer()
	pb.RegisterKVServer(srv, echoKV{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	defer serving.Wait()
	defer srv.Stop()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	lo, err := net.InterfaceByIndex(1)
	require.NoError(t, err, "the first interface is the loopback one")
	for _, host := range []string{"[::1]", "[::1%25" + lo.Name + "]"} {
		c := testclient.New(t, clientv3.Config{Endpoints: []string{"http://" + host + ":" + port}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err = c.Put(ctx, "k", "v")
		cancel()
		require.NoError(t, err, host)
	}
}

// TestEachEndpointHasItsOwnName: three members have certificates with no name in common. The client
// still works after the first member, whose name is the authority of requests, has stopped.
func TestEachEndpointHasItsOwnName(t *testing.T) {
	names := []string{"a.example", "b.example", "c.example"}
	cluster := etcdtest.Start(t, etcdtest.WithMembers(3), etcdtest.WithTLS(),
		etcdtest.WithCertNames(func(member int) []string { return names[member : member+1] }))
	addresses := map[string]string{}
	var eps []string
	for i, m := range cluster.Members() {
		real := strings.TrimPrefix(m.Endpoint(), "https://")
		_, port, err := net.SplitHostPort(real)
		require.NoError(t, err)
		named := net.JoinHostPort(names[i], port)
		addresses[named] = real
		eps = append(eps, "https://"+named)
	}
	c := testclient.New(t, clientv3.Config{Endpoints: eps, TLS: cluster.TLSConfig(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", addresses[name])
			}),
		}})
	_, err := c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
	cluster.Members()[0].Kill()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := c.Get(ctx, "k")
		cancel()
		require.NoError(t, err)
	}
}

// members returns a handler that answers MemberList with the members in list.
func members(list ...*pb.Member) etcdfake.UnaryHandler {
	return func(context.Context, proto.Message) (proto.Message, error) {
		return &pb.MemberListResponse{Members: list}, nil
	}
}

func TestSync(t *testing.T) {
	s, c := testclient.StartFake(t, clientv3.Config{})
	own := c.Endpoints()
	voter := &pb.Member{ID: 1, Name: "a", ClientURLs: []string{"http://" + s.Addr(),
		"https://127.0.0.1:2"}}
	learner := &pb.Member{ID: 2, Name: "b", ClientURLs: []string{"http://127.0.0.1:3"},
		IsLearner: true}
	unstarted := &pb.Member{ID: 3, PeerURLs: []string{"http://127.0.0.1:4"},
		ClientURLs: []string{"http://127.0.0.1:4"}}

	s.Unary("MemberList", members(learner, unstarted))
	assert.Equal(t, clientv3.ErrNoAvailableEndpoints, c.Sync(t.Context()))
	assert.Equal(t, own, c.Endpoints())

	s.Unary("MemberList", members(
		&pb.Member{ID: 1, Name: "a", ClientURLs: []string{"gopher://a:1"}}))
	require.ErrorContains(t, c.Sync(t.Context()), "gopher://a:1")
	assert.Equal(t, own, c.Endpoints())

	s.Unary("MemberList", members(voter, learner, unstarted))
	require.NoError(t, c.Sync(t.Context()))
	assert.Equal(t, voter.ClientURLs, c.Endpoints())
}

func TestAutoSync(t *testing.T) {
	s := etcdfake.Start(t)
	want := []string{"http://" + s.Addr()}
	s.Unary("MemberList", members(&pb.Member{ID: 1, Name: "a", ClientURLs: want}))
	c := testclient.New(t, clientv3.Config{Endpoints: []string{s.Addr()},
		AutoSyncInterval: 10 * time.Millisecond})
	testclient.Eventually(t, func() bool {
		return assert.ObjectsAreEqual(want, c.Endpoints())
	}, "endpoints are replaced")
	lg, logs := testclient.Observed(zap.WarnLevel)
	c.WithLogger(lg)
	s.Fail("MemberList", etcdfake.Forever, errAlways)
	testclient.Eventually(t, func() bool { return logs.Len() > 0 }, "a failure is logged")
	require.NoError(t, c.Close())
	calls := s.Calls("MemberList")
	time.Sleep(50 * time.Millisecond) // five intervals
	assert.Equal(t, calls, s.Calls("MemberList"), "Close ends it")
}

func TestRejectOldCluster(t *testing.T) {
	for _, tc := range []struct {
		versions []string
		want     string
	}{
		{[]string{"3.5.21"}, "old cluster version"},
		{[]string{"3.6.0-alpha.0"}, "old cluster version"},
		{[]string{"3.6.0"}, ""},
		{[]string{"3.7.3", "3.6.5", "4.0.0"}, ""},
		{[]string{"3.7.3", "3.4.0"}, "old cluster version"},
		{[]string{"seven"}, `version "seven" of 127.0.0.1:`},
		{[]string{"seven", "3.7.3"}, ""},
	} {
		var eps []string
		for _, v := range tc.versions {
			eps = append(eps, etcdfake.Start(t, etcdfake.WithVersion(v)).Addr())
		}
		c, err := clientv3.New(clientv3.Config{Endpoints: eps, RejectOldCluster: true,
			Logger: zap.NewNop()})
		if tc.want != "" {
			require.ErrorContains(t, err, tc.want, "%v", tc.versions)
			assert.Equal(t, tc.want == "old cluster version", err == clientv3.ErrOldCluster)
			continue
		}
		require.NoError(t, err, "%v", tc.versions)
		require.NoError(t, c.Close())
	}
}

func TestRejectOldClusterIsBounded(t *testing.T) {
	dead := "127.0.0.1:1"
	cfg := clientv3.Config{Endpoints: []string{dead}, RejectOldCluster: true, Logger: zap.NewNop(),
		DialTimeout: 100 * time.Millisecond}
	_, err := clientv3.New(cfg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, dead)
	cfg.Endpoints = append(cfg.Endpoints, etcdfake.Start(t).Addr())
	c, err := clientv3.New(cfg)
	require.NoError(t, err, "one member that answers is enough")
	require.NoError(t, c.Close())
}
