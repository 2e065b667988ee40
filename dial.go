package clientv3

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/resolver"
	"go.etcd.io/etcd/client/v3/internal/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	grpcresolver "google.golang.org/grpc/resolver"
)

// reconnect spaces the attempts to connect to a member that is down: soon
// enough to serve again within two seconds of its return.
var reconnect = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoffWait}

// dialTimeout bounds one attempt to connect or to log in.
func (c Config) dialTimeout() time.Duration {
	if c.DialTimeout > 0 {
		return c.DialTimeout
	}
	return defaultDialTimeout
}

// serviceConfig is what the connection should do beyond connecting, in gRPC's
// JSON. Limits stand here and not among each call's options, so that they hold
// for every stub made on the connection, and cost a call nothing.
func (c Config) serviceConfig(healthCheck bool) (string, error) {
	type object = map[string]any
	sc := object{
		"loadBalancingConfig": []object{{balancer.Name: object{"healthCheck": healthCheck}}},
		"methodConfig": []object{{
			"name":                    []object{{}},
			"maxRequestMessageBytes":  c.MaxCallSendMsgSize,
			"maxResponseMessageBytes": c.MaxCallRecvMsgSize,
		}},
	}
	out, err := json.Marshal(sc)
	return string(out), err
}

// dialOptions are the options of every connection of the client; the user's come
// after the client's own, but for the interceptor that must be next to gRPC.
func (c *Client) dialOptions() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(c.creds),
		grpc.WithContextDialer(dialAddress),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: c.cfg.dialTimeout()}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                c.cfg.DialKeepAliveTime,
			Timeout:             c.cfg.DialKeepAliveTimeout,
			PermitWithoutStream: c.cfg.PermitWithoutStream,
		}),
	}
	if c.tokens != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(c.tokens.PerRPC()))
	}
	opts = append(opts, c.cfg.DialOptions...)
	return append(opts, grpc.WithChainUnaryInterceptor(retry.Witness))
}

// dialAddress connects to an endpoint.Endpoint's Address.
func dialAddress(ctx context.Context, address string) (net.Conn, error) {
	network, target := endpoint.Network(address)
	return (&net.Dialer{}).DialContext(ctx, network, target)
}

// dial makes a connection that spreads requests over eps by the table, and starts it.
// Why it cannot connect is noted in f. Both may be nil.
func (c *Client) dial(t *balancer.Table, f *balancer.Failures, healthCheck bool, eps ...string) (*grpc.ClientConn, *resolver.Resolver, error) {
	addresses, err := resolve(t, eps)
	if err != nil {
		return nil, nil, err
	}
	sc, err := c.cfg.serviceConfig(healthCheck)
	if err != nil {
		return nil, nil, fmt.Errorf("etcdclient: service config: %w", err)
	}
	r := resolver.New(sc, f.With(t.Attributes()), addresses)
	conn, err := grpc.NewClient(r.Target(), append(c.dialOptions(), grpc.WithResolvers(r))...)
	if err != nil {
		return nil, nil, fmt.Errorf("etcdclient: connection to %q: %w", eps, err)
	}
	conn.Connect()
	return conn, r, nil
}

// resolve turns endpoints into gRPC's addresses, known to the table.
func resolve(t *balancer.Table, eps []string) ([]grpcresolver.Address, error) {
	addresses := make([]grpcresolver.Address, 0, len(eps))
	for _, ep := range eps {
		e, err := endpoint.Parse(ep)
		if err != nil {
			return nil, fmt.Errorf("etcdclient: %w", err)
		}
		addresses = append(addresses, t.With(e.Resolved()))
	}
	return addresses, nil
}

// Dial connects to one endpoint, given as in Config.Endpoints, with the
// client's own settings and credentials, and without waiting for the
// connection. Requests on it carry the client's token but are not retried. The
// caller closes the connection; the client's Close does not. Its error names a
// malformed endpoint.
func (c *Client) Dial(ep string) (*grpc.ClientConn, error) {
	if !c.made() || c.creds == nil {
		return nil, ErrNoAvailableEndpoints
	}
	conn, _, err := c.dial(nil, nil, false, ep)
	return conn, err
}

// unconnected is what a client without a connection has in its place.
type unconnected struct{}

func (unconnected) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return ErrNoAvailableEndpoints
}

func (unconnected) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, ErrNoAvailableEndpoints
}
