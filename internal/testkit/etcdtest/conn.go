package etcdtest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// Conn returns a plain gRPC connection to the member. Its requests do not go through the client
// under test. It reconnects within milliseconds, and is closed when the test ends. Under mutual
// TLS, it uses the client certificate with the common name "client". Options in opts override those
// of Conn.
func (m *Member) Conn(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	return m.cluster.testConn(tb, []*Member{m}, opts)
}

// Pb returns a plain gRPC connection to all members, which get the requests in turn. Otherwise, it
// is like the connection of [Member.Conn]. Pass it to the generated clients of etcdserverpb, for
// example pb.NewKVClient(c.Pb(t)).
func (c *Cluster) Pb(tb testing.TB, opts ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	return c.testConn(tb, c.Members(), opts)
}

func (c *Cluster) testConn(
	tb testing.TB, members []*Member, opts []grpc.DialOption,
) *grpc.ClientConn {
	tb.Helper()
	conn, err := c.dial(members, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() }) // fails only if the test has closed conn already
	return conn
}

// Dial is [Member.Conn] for programs that are not tests: the caller must close the connection.
// While authentication is on, unary calls are made as the user root. Streams are authenticated only
// if they are opened with a context from [Cluster.AsRoot].
func (m *Member) Dial() (*grpc.ClientConn, error) {
	return m.cluster.dial([]*Member{m}, grpc.WithUnaryInterceptor(m.cluster.callAsRoot))
}

// AsRoot logs in as root over conn, and returns ctx with the token of that login. While
// authentication is off, it returns ctx itself.
func (c *Cluster) AsRoot(ctx context.Context, conn *grpc.ClientConn) (context.Context, error) {
	return c.asRoot(ctx, conn)
}

// dial makes a connection to the given members. It does not wait until the connection is
// established.
func (c *Cluster) dial(members []*Member, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	builder := manual.NewBuilderWithScheme("etcdtest")
	var state resolver.State
	byAddress := make(map[string]*Member)
	for _, m := range members {
		byAddress[m.address] = m
		state.Addresses = append(state.Addresses,
			resolver.Address{Addr: m.address, ServerName: m.serverName})
	}
	builder.InitialState(state)
	creds := insecure.NewCredentials()
	if c.certs != nil {
		creds = credentials.NewTLS(c.TLSConfig())
	}
	own := []grpc.DialOption{
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return byAddress[address].dial(ctx, "", "")
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5,
				MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: 2 * time.Second,
		}),
	}
	conn, err := grpc.NewClient("etcdtest:///", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("etcdtest: connect: %w", err)
	}
	return conn, nil
}
