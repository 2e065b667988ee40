package clientv3

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
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
	"go.etcd.io/etcd/client/v3/internal/wire"
)

// reconnect holds the waits between attempts to connect to a member that is down. The waits are so
// short that the client uses the member again within two seconds after the member is back.
var reconnect = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2,
	MaxDelay: maxBackoffWait}

// serviceConfig is gRPC's service config, in JSON. It selects the client's balancer by name.
const serviceConfig = `{"loadBalancingConfig": [{"` + balancer.Name + `": {}}]}`

// dialOptions returns the options of every connection of the client. The program's options come
// last, so they replace options of the client.
func (c *Client) dialOptions(creds *endpoint.Credentials) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(c.dialSocket),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect,
			MinConnectTimeout: c.cfg.DialTimeout}),
	}
	if c.cfg.DialKeepAliveTime > 0 {
		opts = append(opts, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: c.cfg.DialKeepAliveTime,
			// Timeout is bounded because gRPC also passes it to the kernel as TCP_USER_TIMEOUT, a
			// 32-bit number of milliseconds.
			Timeout:             min(c.cfg.DialKeepAliveTimeout, math.MaxInt32*time.Millisecond),
			PermitWithoutStream: c.cfg.PermitWithoutStream,
		}))
	}
	if c.tokens != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(c.tokens))
	}
	return append(opts, c.cfg.DialOptions...)
}

// userOptions says which of the client's own settings are overridden by the options in
// Config.DialOptions: the dialer, the credentials, the proxy of the environment, gRPC's health
// checks.
type userOptions struct {
	dialer, credentials, noProxy, noHealthCheck bool
}

// inspectOptions reports which of the client's own settings Config.DialOptions replace. gRPC has no
// function for that: a dial option is a function that changes a private struct of gRPC. So
// inspectOptions makes a grpc.ClientConn with the options, which never connects, and reads its
// private fields. The comment of replacedIn says what happens if a release of gRPC has other
// fields.
func (c *Client) inspectOptions() (u userOptions, err error) {
	if len(c.cfg.DialOptions) == 0 {
		return u, nil
	}
	creds := c.creds.As(endpoint.Encrypted) // gRPC refuses some options if there is no TLS
	conn, err := grpc.NewClient("passthrough:///options", c.dialOptions(creds)...)
	if err != nil {
		return u, fmt.Errorf("etcdclient: DialOptions: %w", err)
	}
	defer conn.Close()
	return replacedIn(field(reflect.ValueOf(conn).Elem(), "dopts"), c.dialSocket, creds), nil
}

// replacedIn reports which of the client's own settings the program's dial options replace. It gets
// gRPC's private struct after all dial options were applied (options), and the client's own dialer
// and credentials (dial and creds).
//
// Another release of gRPC may rename a private field or change its type. In a program built with
// such a release, replacedIn does not panic, but:
//
//   - The credentials always count as the program's own. So the scheme of an endpoint does not
//     override them: that could turn off the program's TLS.
//   - The program's dialer is used, but gets no endpoint that the client cannot parse.
//   - WithNoProxy and WithDisableHealthCheck have no effect.
//
// TestEveryDialOptionKeepsItsMeaning fails with such a release.
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

// same reports whether v and the parameter own are the same function or the same pointer. v may be
// an interface value that contains the function or pointer.
func same(v reflect.Value, own any) bool {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v.IsValid() && v.Type() == reflect.TypeOf(own) &&
		v.Pointer() == reflect.ValueOf(own).Pointer()
}

// field returns the field of the struct v that has the given name. It returns the zero Value if v
// is not a struct or has no such field.
func field(v reflect.Value, name string) reflect.Value {
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

// dial starts to connect to eps. It returns a connection that spreads requests over eps, and the
// connection's resolver, whose method Set replaces eps by other endpoints. The tracker t records
// the health of the members; t may be nil.
func (c *Client) dial(
	t *balancer.Tracker, eps []namedEndpoint,
) (*grpc.ClientConn, *resolver.Resolver, error) {
	addresses, encrypted := c.resolve(t, eps)
	creds := c.creds.As(endpoint.Plain)
	if encrypted {
		creds = c.creds.As(endpoint.Encrypted)
	}
	r := resolver.New(serviceConfig, t.Attributes(), addresses)
	// If the program gives WithDisableServiceConfig, gRPC ignores the service config of the
	// resolver and uses the default service config. So serviceConfig is set in both places.
	opts := append([]grpc.DialOption{grpc.WithDefaultServiceConfig(serviceConfig)},
		c.dialOptions(creds)...)
	opts = append(opts, grpc.WithResolvers(r), grpc.WithChainUnaryInterceptor(lastUnary),
		grpc.WithChainStreamInterceptor(lastStream))
	conn, err := grpc.NewClient(r.Target(), opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("etcdclient: connection to %q: %w",
			endpoint.RedactAll(texts(eps)), err)
	}
	conn.Connect()
	return conn, r, nil
}

// lastUnary is the last interceptor of unary calls. It chooses the codec of the call (wire.Settle),
// and records whether the call was handed to gRPC (retry.ObserveSends). Because it comes last, its
// opts are all options that gRPC gets, including those that other interceptors added.
func lastUnary(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	return retry.ObserveSends(ctx, method, req, reply, cc, next, wire.Settle(opts)...)
}

// lastStream is the last interceptor of streams. It chooses the codec of the stream (wire.Settle).
func lastStream(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	next grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return next(ctx, desc, cc, method, wire.Settle(opts)...)
}

// resolve returns gRPC's addresses for eps, and whether any of eps is encrypted. The addresses
// carry the tracker t, which records the health of the members at these addresses; t may be nil.
func (c *Client) resolve(
	t *balancer.Tracker, eps []namedEndpoint,
) (addresses []grpcresolver.Address, encrypted bool) {
	creds := c.creds
	if c.user.credentials {
		creds = nil
	}
	for _, ep := range eps {
		encrypted = encrypted || c.creds.Encrypts(ep.Security)
		addresses = append(addresses, t.With(ep.Resolved(creds)))
	}
	return addresses, encrypted
}

// Dial returns a new connection to the endpoint ep, with the client's settings and credentials. ep
// is written as in Config.Endpoints. Dial does not wait until the connection is made. The caller
// must close the connection; the client's Close does not.
//
// Requests on the connection carry the client's token, are not retried, and have gRPC's own message
// limits.
//
// The scheme of ep says whether Dial uses TLS, as in Config.Endpoints. There is one exception: if
// New or SetEndpoints was given an encrypted endpoint, Dial uses TLS for an http URL, too. An http
// URL whose own address New or SetEndpoints was given without TLS stays without TLS.
//
// Dial returns an error that names ep if ep is malformed. For a client without a connection it
// returns ErrNoAvailableEndpoints.
func (c *Client) Dial(ep string) (*grpc.ClientConn, error) {
	if !c.made() || c.creds == nil {
		return nil, ErrNoAvailableEndpoints
	}
	parsed, err := c.parse(ep)
	if err != nil {
		return nil, err
	}
	eps := []namedEndpoint{parsed}
	c.secure(eps)
	conn, _, err := c.dial(nil, eps)
	return conn, err
}

// unconnected takes the place of the connection in a client without a connection. All its methods
// return ErrNoAvailableEndpoints.
type unconnected struct{}

func (unconnected) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return ErrNoAvailableEndpoints
}

func (unconnected) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, ErrNoAvailableEndpoints
}

// The settings of TCP keepalives. TCP keepalives and limitUnacknowledged make the operating system
// notice that a host or network is gone. Servers refuse frequent HTTP/2 pings, but do not see TCP
// keepalives.
const (
	tcpIdle     = 10 * time.Second
	tcpInterval = 5 * time.Second
	tcpProbes   = 3
)

// dialSocket returns a connection to address, which is the field Address of an endpoint.Endpoint.
// Like gRPC's own dialer, dialSocket uses the HTTP proxy that the environment names.
func (c *Client) dialSocket(ctx context.Context, address string) (net.Conn, error) {
	network, target := endpoint.Network(address)
	var proxy *url.URL
	if network == "tcp" && !c.user.noProxy {
		var err error
		proxy, err = http.ProxyFromEnvironment(&http.Request{
			URL: &url.URL{Scheme: "https", Host: target}})
		if err != nil { // err is not wrapped: it may quote the proxy's password
			return nil, errors.New("etcdclient: malformed proxy in HTTPS_PROXY")
		}
	}
	if proxy == nil {
		return dialDirect(ctx, network, target)
	}
	const port = "443" // the port of a proxy whose URL has none, as in gRPC
	conn, err := dialDirect(ctx, network,
		net.JoinHostPort(proxy.Hostname(), cmp.Or(proxy.Port(), port)))
	if err != nil {
		return nil, fmt.Errorf("etcdclient: proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	through, err := requestTunnel(conn, proxy.User, target)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("etcdclient: proxy %s: %w", proxy.Host, err)
	}
	return through, nil
}

func dialDirect(ctx context.Context, network, target string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: tcpIdle, Interval: tcpInterval,
			Count: tcpProbes},
		Control: limitUnacknowledged,
	}
	return d.DialContext(ctx, network, target)
}

// requestTunnel asks the proxy at the other end of conn for a connection to target, and returns
// that connection. It sends the HTTP request CONNECT. The name and password for the proxy are in
// user, which is nil if the proxy needs none.
func requestTunnel(conn net.Conn, user *url.Userinfo, target string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: target},
		Header: http.Header{"User-Agent": {"etcd-client"}}}
	if user != nil {
		password, _ := user.Password()
		text := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+text)
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // a 200 has no Content-Length, so Close leaves the tunnel's bytes unread
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("CONNECT %s: %s", target, resp.Status)
	}
	return &tunnel{Conn: conn, r: r}, nil
}

// tunnel is a connection through a proxy. Read reads from r, because r may have buffered bytes that
// the target sent and that arrived with the proxy's answer.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }
