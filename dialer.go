package clientv3

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// TCP finds out by itself that a peer is gone, with what the servers' gRPC does not
// see and cannot take for too many pings.
const (
	tcpIdle     = 10 * time.Second
	tcpInterval = 5 * time.Second
	tcpProbes   = 3
)

// dialer connects to an endpoint.Endpoint's Address, if need be through the HTTP
// proxy that the environment names, as gRPC does.
type dialer struct {
	noProxy bool // read-only once there is a connection
}

func (d *dialer) dial(ctx context.Context, address string) (net.Conn, error) {
	network, target := endpoint.Network(address)
	if network != "tcp" || d.noProxy {
		return dialDirect(ctx, network, target)
	}
	proxy, err := proxyOf(target)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return dialDirect(ctx, network, target)
	}
	conn, err := dialDirect(ctx, network, withPort(proxy))
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

// proxyOf returns the proxy to a target, nil for none. It says nothing of a malformed
// one, which may hold a password.
func proxyOf(target string) (*url.URL, error) {
	proxy, err := http.ProxyFromEnvironment(&http.Request{
		URL: &url.URL{Scheme: "https", Host: target}})
	if err != nil {
		return nil, errors.New("etcdclient: malformed proxy in HTTPS_PROXY")
	}
	return proxy, nil
}

func withPort(proxy *url.URL) string {
	if proxy.Port() != "" {
		return proxy.Host
	}
	return net.JoinHostPort(proxy.Hostname(), "443") // gRPC's default
}

func dialDirect(ctx context.Context, network, target string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: tcpIdle, Interval: tcpInterval,
			Count: tcpProbes},
		Control: limitUnacknowledged,
	}
	return d.DialContext(ctx, network, target)
}

// requestTunnel has a proxy connect conn to a target.
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
	_ = resp.Body.Close() // what follows the header belongs to the target
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("CONNECT %s: %s", target, resp.Status)
	}
	return &tunnel{Conn: conn, r: r}, nil
}

// tunnel is a connection of which r may hold what was read already.
type tunnel struct {
	net.Conn
	r *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }
