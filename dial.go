package clientv3

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"reflect"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	grpcresolver "google.golang.org/grpc/resolver"

	"go.etcd.io/etcd/client/v3/internal/balancer"
	"go.etcd.io/etcd/client/v3/internal/endpoint"
	"go.etcd.io/etcd/client/v3/internal/resolver"
	"go.etcd.io/etcd/client/v3/internal/retry"
)

// reconnect spaces the attempts to connect to a member that is down: soon
// enough to serve again within two seconds of its return.
var reconnect = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2,
	MaxDelay: maxBackoffWait}

// dialTimeout bounds one attempt to connect or to log in.
func (c Config) dialTimeout() time.Duration {
	if c.DialTimeout > 0 {
		return c.DialTimeout
	}
	return defaultDialTimeout
}

// keepAliveParams are gRPC's pings; without a time there are none. The timeout
// becomes an option of the socket, which counts milliseconds in 32 bits.
func (c Config) keepAliveParams() (keepalive.ClientParameters, bool) {
	return keepalive.ClientParameters{
		Time:                c.DialKeepAliveTime,
		Timeout:             min(c.DialKeepAliveTimeout, math.MaxInt32*time.Millisecond),
		PermitWithoutStream: c.PermitWithoutStream,
	}, c.DialKeepAliveTime > 0
}

// serviceConfig names the balancer in gRPC's JSON.
func serviceConfig(healthCheck bool) (string, error) {
	type object = map[string]any
	out, err := json.Marshal(object{
		"loadBalancingConfig": []object{{balancer.Name: object{"healthCheck": healthCheck}}},
	})
	return string(out), err
}

// messageLimits are options of each of the client's own calls, so that a stub on
// ActiveConnection has gRPC's own limits.
func (c Config) messageLimits() []grpc.CallOption {
	return []grpc.CallOption{
		grpc.MaxCallSendMsgSize(c.MaxCallSendMsgSize),
		grpc.MaxCallRecvMsgSize(c.MaxCallRecvMsgSize),
	}
}

// dialOptions are the options of every connection of the client; the user's come
// after the client's own, but for the interceptor that must be next to gRPC.
func (c *Client) dialOptions(creds *endpoint.Credentials) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(c.dialer.dial),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect,
			MinConnectTimeout: c.cfg.dialTimeout()}),
	}
	if params, ok := c.cfg.keepAliveParams(); ok {
		opts = append(opts, grpc.WithKeepaliveParams(params))
	}
	if c.tokens != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(c.tokens.PerRPC()))
	}
	return append(opts, c.cfg.DialOptions...)
}

// userOptions tells which of the client's own dial options Config.DialOptions
// replace.
type userOptions struct {
	dialer, credentials, noProxy, noHealthCheck bool
}

// inspectOptions finds out what Config.DialOptions replace. gRPC has no accessor for its
// options, and applying them is the only way to know their effect: an option is a function on
// a private type, and the last one wins. So this makes a connection, which never connects, and
// reads its private fields; see replacedIn for releases of gRPC with other fields.
func (c *Client) inspectOptions() (u userOptions, err error) {
	if len(c.cfg.DialOptions) == 0 {
		return u, nil
	}
	creds := c.creds.As(endpoint.Encrypted) // for gRPC to accept all that may be used
	conn, err := grpc.NewClient("passthrough:///options", c.dialOptions(creds)...)
	if err != nil {
		return u, fmt.Errorf("etcdclient: DialOptions: %w", err)
	}
	defer conn.Close()
	return replacedIn(field(reflect.ValueOf(conn).Elem(), "dopts"), c.dialer.dial, creds), nil
}

// replacedIn compares gRPC's options with the client's own dialer and credentials. Where
// another release of gRPC renames a private field or changes its type, nothing panics, and
// TestEveryDialOptionKeepsItsMeaning fails. A program built with that release has:
//   - its credentials: unless they are surely the client's own, they count as replaced, and no
//     endpoint's scheme overrides them. Without that a program's TLS could be lost;
//   - its dialer, which is not asked for endpoints that the client cannot parse;
//   - proxies of the environment despite WithNoProxy, and health checks despite
//     WithDisableHealthCheck.
func replacedIn(
	options reflect.Value,
	dial func(context.Context, string) (net.Conn, error),
	creds credentials.TransportCredentials,
) userOptions {
	is := func(name string, value bool) bool {
		v := field(options, name)
		return v.Kind() == reflect.Bool && v.Bool() == value
	}
	connect := field(options, "copts")
	dialer := field(connect, "Dialer")
	return userOptions{
		dialer:        dialer.IsValid() && !same(dialer, dial),
		credentials:   !same(field(connect, "TransportCredentials"), creds),
		noProxy:       is("useProxy", false),
		noHealthCheck: is("disableHealthCheck", true),
	}
}

// same reports whether v, a function or an interface with a pointer, is own.
func same(v reflect.Value, own any) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != reflect.TypeOf(own) {
		return false
	}
	switch v.Kind() {
	case reflect.Func, reflect.Pointer:
		return v.Pointer() == reflect.ValueOf(own).Pointer()
	}
	return false
}

// field returns a field of a struct, or the zero Value.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

// dial makes a connection that spreads requests over eps by the table, and starts it.
// Why it cannot connect is noted in f. Both may be nil.
func (c *Client) dial(
	t *balancer.Tracker, f *balancer.Failures, healthCheck bool, eps ...string,
) (*grpc.ClientConn, *resolver.Resolver, error) {
	addresses, encrypted, err := c.resolve(t, eps)
	if err != nil {
		return nil, nil, err
	}
	creds := c.creds.As(endpoint.Plain)
	if encrypted {
		creds = c.creds.As(endpoint.Encrypted)
	}
	sc, err := serviceConfig(healthCheck && !c.user.noHealthCheck)
	if err != nil {
		return nil, nil, fmt.Errorf("etcdclient: service config: %w", err)
	}
	r := resolver.New(sc, f.With(t.Attributes()), addresses)
	// The resolver's config is ignored after WithDisableServiceConfig, the default is not.
	opts := append([]grpc.DialOption{grpc.WithDefaultServiceConfig(sc)}, c.dialOptions(creds)...)
	opts = append(opts, grpc.WithResolvers(r), grpc.WithChainUnaryInterceptor(retry.ObserveSends))
	conn, err := grpc.NewClient(r.Target(), opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("etcdclient: connection to %q: %w", endpoint.RedactAll(eps),
			err)
	}
	conn.Connect()
	return conn, r, nil
}

// parse takes an endpoint apart. What it does not understand is for a dialer of the
// user's, if there is one.
func (c *Client) parse(ep string) (endpoint.Endpoint, error) {
	e, err := endpoint.Parse(ep)
	switch {
	case err == nil:
		return e, nil
	case c.user.dialer && !blank(ep):
		return endpoint.Raw(ep), nil
	}
	return e, fmt.Errorf("etcdclient: %w", err)
}

// resolve turns endpoints into gRPC's addresses, known to the table, and reports
// whether any of them is encrypted.
func (c *Client) resolve(
	t *balancer.Tracker, eps []string,
) (addresses []grpcresolver.Address, encrypted bool, err error) {
	creds := c.creds
	if c.user.credentials {
		creds = nil
	}
	for _, ep := range eps {
		e, err := c.parse(ep)
		if err != nil {
			return nil, false, err
		}
		encrypted = encrypted || c.creds.Encrypts(e.Security)
		addresses = append(addresses, t.With(e.Resolved(creds)))
	}
	return addresses, encrypted, nil
}

// Dial connects to one endpoint, given as in Config.Endpoints, with the
// client's own settings and credentials, and without waiting for the
// connection. Where the client's endpoints are encrypted, so is a connection to an
// http URL that is not one of them. Requests on it carry the client's token but are
// not retried, and have gRPC's own message limits. The caller closes the connection;
// the client's Close does not. Its error names a malformed endpoint.
func (c *Client) Dial(ep string) (*grpc.ClientConn, error) {
	if !c.made() || c.creds == nil {
		return nil, ErrNoAvailableEndpoints
	}
	conn, _, err := c.dial(nil, nil, false, c.secured([]string{ep})...)
	return conn, err
}

// unconnected is what a client without a connection has in its place.
type unconnected struct{}

func (unconnected) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return ErrNoAvailableEndpoints
}

func (unconnected) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, ErrNoAvailableEndpoints
}
