package clientv3

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

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// TestStreamsLeaveARemovedEndpoint: a member that is alive and no endpoint any more
// loses its watch and keepalive streams within a second, which miss nothing. The
// request under way there is finished.
func TestStreamsLeaveARemovedEndpoint(t *testing.T) {
	for name, even := range map[string]bool{"judged": false, "evenly": true} {
		t.Run(name, func(t *testing.T) {
			members := etcdfake.StartCluster(t, 2)
			c := newTestClient(t, Config{Endpoints: []string{members[0].Addr()},
				SpreadEvenly: even})
			events := c.Watch(t.Context(), "w", WithPrefix(), WithCreatedNotify())
			require.True(t, (<-events).Created)
			lease, err := c.Grant(t.Context(), 60)
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
			eventually(t, func() bool {
				return members[0].Calls("Range") == 1
			}, "the read is under way")
			c.SetEndpoints(members[1].Addr())
			start := time.Now()
			for i := range 50 {
				_, err := c.Put(t.Context(), fmt.Sprint("w", i), "v")
				require.NoError(t, err)
			}
			open := func(m *etcdfake.Server, method string) int {
				n, _ := m.Streams(method)
				return n
			}
			for _, method := range []string{"Watch", "LeaseKeepAlive"} {
				eventually(t, func() bool {
					return open(members[0], method) == 0 && open(members[1], method) == 1
				}, method+" has moved")
			}
			assert.Less(t, time.Since(start), time.Second)
			for next := 0; next < 50; {
				for _, ev := range (<-events).Events {
					assert.Equal(t, fmt.Sprint("w", next), string(ev.Kv.Key))
					next++
				}
			}
			require.NotNil(t, <-kept, "renewed by the new member")
			reader.Wait()
			assert.Zero(t, members[1].Calls("Range"), "the read was not sent again")
			eventually(t, func() bool {
				return members[0].Conns() == 0
			}, "the connection is closed")
		})
	}
}

// TestProbesPassNoInterceptor: an interceptor of the user's that refuses health checks
// has not answered for the member: one that is dead is found out all the same.
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
	c := newTestClient(t, Config{
		Endpoints:   []string{proxy.Addr(), members[1].Addr()},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(refuse)},
	})
	eventually(t, func() bool {
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

// TestRefusedHandshakesAreSpaced: a server that refuses the client's certificate logs
// each attempt, so they become rare sooner than attempts at a member that is down.
func TestRefusedHandshakesAreSpaced(t *testing.T) {
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
	for name, cfg := range map[string]*tls.Config{
		"by the server": {InsecureSkipVerify: true},
		"by the client": {}, // which does not know the authority
	} {
		t.Run(name, func(t *testing.T) {
			before := handshakes.Load()
			newTestClient(t, Config{Endpoints: []string{server.URL}, TLS: cfg})
			time.Sleep(5 * time.Second)
			made := handshakes.Load() - before
			assert.LessOrEqual(t, made, int64(3))
			assert.GreaterOrEqual(t, made, int64(2), "it goes on")
		})
	}
}
