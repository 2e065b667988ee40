package faults_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// TestStreamsLeaveARemovedEndpoint: when a member that serves is removed from the endpoints, its
// watch and keepalive streams move within a second and miss nothing. A request in flight there is
// finished.
func TestStreamsLeaveARemovedEndpoint(t *testing.T) {
	for name, even := range map[string]bool{"with health": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, 2)
			c := testclient.New(t, clientv3.Config{Endpoints: []string{members[0].Addr()},
				SpreadEvenly: even})
			events := c.Watch(t.Context(), "w", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			require.True(t, (<-events).Created)
			lease, err := c.Grant(t.Context(), 6)
			require.NoError(t, err)
			kept, err := c.KeepAlive(t.Context(), lease.ID)
			require.NoError(t, err)
			require.NotNil(t, <-kept)

			members[0].Delay("Range", 2*time.Second)
			var reader sync.WaitGroup
			reader.Go(func() {
				_, err := c.Get(t.Context(), "k")
				assert.NoError(t, err)
			})
			testclient.Eventually(t, func() bool {
				return members[0].Calls("Range") == 1
			}, "the read is in flight")
			c.SetEndpoints(members[1].Addr())
			moving := testclient.Stopwatch(t)
			for i := range 50 {
				_, err := c.Put(t.Context(), fmt.Sprint("w", i), "v")
				require.NoError(t, err)
			}
			open := func(m *etcdfake.Server, method string) int {
				n, _ := m.Streams(method)
				return n
			}
			for _, method := range []string{"Watch", "LeaseKeepAlive"} {
				testclient.Eventually(t, func() bool {
					return open(members[0], method) == 0 && open(members[1], method) == 1
				}, method+" has moved")
			}
			assert.Less(t, moving(), time.Second)
			for next := 0; next < 50; {
				for _, ev := range (<-events).Events {
					assert.Equal(t, fmt.Sprint("w", next), string(ev.Kv.Key))
					next++
				}
			}
			for renewed := uint64(0); renewed != members[1].ID(); {
				answer := <-kept
				require.NotNil(t, answer, "the lease is kept")
				renewed = answer.MemberId
			}
			reader.Wait()
			assert.Zero(t, members[1].Calls("Range"), "the read was not sent again")
			testclient.Eventually(t, func() bool {
				return members[0].Conns() == 0
			}, "the connection is closed")
		})
	}
}

// TestProbesPassNoInterceptor: the requests by which the client probes a member do not go through
// the program's interceptors. So an interceptor that refuses health checks does not make a dead
// member look alive.
func TestProbesPassNoInterceptor(t *testing.T) {
	members := etcdfake.StartCluster(t, 2)
	proxy := faultnet.New(t, members[0].Addr())
	refuse := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if method == healthpb.Health_Check_FullMethodName {
			return status.Error(codes.PermissionDenied, "not by this interceptor")
		}
		return next(ctx, method, req, reply, cc, opts...)
	}
	c := testclient.New(t, clientv3.Config{
		Endpoints:   []string{proxy.Addr(), members[1].Addr()},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(refuse)},
	})
	testclient.Eventually(t, func() bool {
		_, err := c.Get(t.Context(), "k")
		return err == nil && members[0].Calls("Range") > 0 && members[1].Calls("Range") > 0
	}, "both are in use")
	proxy.Blackhole(faultnet.Both)
	for range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := c.Get(ctx, "k")
		cancel()
		require.NoError(t, err)
	}
}

// TestRefusedHandshakesAreSpaced: a server that refuses the client's certificate logs each attempt,
// so the waits between attempts grow faster than those for a member that is down.
func TestRefusedHandshakesAreSpaced(t *testing.T) {
	for name, cfg := range map[string]*tls.Config{
		"by the server": {InsecureSkipVerify: true},
		"by the client": {}, // does not know the server's authority
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handshakes atomic.Int64
			server := httptest.NewUnstartedServer(nil)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{
				ClientAuth: tls.RequireAnyClientCert,
				NextProtos: []string{"h2"},
				GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					handshakes.Add(1)
					return nil, nil
				},
			}
			server.StartTLS()
			defer server.Close()
			testclient.New(t, clientv3.Config{Endpoints: []string{server.URL}, TLS: cfg})
			time.Sleep(5 * time.Second) // the time for which handshakes are counted
			made := handshakes.Load()
			assert.LessOrEqual(t, made, int64(3))
			assert.GreaterOrEqual(t, made, int64(2), "attempts go on")
		})
	}
}
