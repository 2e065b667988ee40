// Package endpoint reads the endpoints that users configure.
package endpoint

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Security says what an endpoint's scheme demands of its connection.
type Security uint8

const (
	// ByConfig encrypts where the client has a TLS configuration: bare host:port and unix.
	ByConfig Security = iota
	// Plain never encrypts: http.
	Plain
	// Encrypted always encrypts: https and unixs.
	Encrypted
)

// Endpoint is an endpoint taken apart.
type Endpoint struct {
	// Address is what to dial: "host:port", or "unix:" and a path.
	Address string
	// Authority is the host, with its port, that requests and certificates are
	// checked against; "localhost" for unix sockets.
	Authority string
	// Security is the scheme's demand.
	Security Security
}

const unixPrefix = "unix:"

// Parse understands
//
//	host:port  http://host:port  https://host:port
//	unix:path  unix:///path  unixs:path  unixs:///path
//
// with IPv6 literals in brackets. A path behind host:port is ignored. Its error
// names the endpoint and what is wrong with it.
func Parse(ep string) (Endpoint, error) {
	for prefix, security := range map[string]Security{unixPrefix: ByConfig, "unixs:": Encrypted} {
		if path, ok := strings.CutPrefix(ep, prefix); ok {
			return parseUnix(ep, path, security)
		}
	}
	scheme, _, found := strings.Cut(ep, "://")
	if !found {
		return parseHost(ep, ep, ByConfig)
	}
	u, err := url.Parse(ep)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", ep, err)
	}
	switch strings.ToLower(scheme) {
	case "http":
		return parseHost(ep, u.Host, Plain)
	case "https":
		return parseHost(ep, u.Host, Encrypted)
	}
	return Endpoint{}, fmt.Errorf("endpoint %q: unknown scheme %q, want http, https, unix or unixs", ep, scheme)
}

func parseUnix(ep, path string, security Security) (Endpoint, error) {
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return Endpoint{}, fmt.Errorf("endpoint %q: no socket path", ep)
	}
	return Endpoint{Address: unixPrefix + path, Authority: "localhost", Security: security}, nil
}

func parseHost(ep, host string, security Security) (Endpoint, error) {
	if host == "" {
		return Endpoint{}, fmt.Errorf("endpoint %q: no host", ep)
	}
	if i := strings.IndexAny(host, " \t\r\n/?#@\\"); i >= 0 {
		return Endpoint{}, fmt.Errorf("endpoint %q: %q does not belong in a host", ep, host[i])
	}
	name, port, err := net.SplitHostPort(host)
	switch {
	case err == nil:
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return Endpoint{}, fmt.Errorf("endpoint %q: port %q is not a number up to 65535", ep, port)
		}
		if name == "" {
			return Endpoint{Address: host, Authority: "localhost" + host, Security: security}, nil
		}
	case strings.Contains(host, ":"):
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", ep, err)
	}
	return Endpoint{Address: host, Authority: host, Security: security}, nil
}

// Scheme returns the scheme under which ep names its address, "" for a bare
// host.
func Scheme(ep string) string {
	if scheme, _, found := strings.Cut(ep, "://"); found {
		return scheme
	}
	for _, scheme := range []string{"unix", "unixs"} {
		if strings.HasPrefix(ep, scheme+":") {
			return scheme
		}
	}
	return ""
}

// Network splits an Address for net.Dial.
func Network(address string) (network, target string) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return "unix", path
	}
	return "tcp", address
}

type securityKey struct{}

// Resolved is the endpoint as gRPC's resolvers name it: the server's name goes
// with the address, and so does the demand for security.
func (e Endpoint) Resolved() resolver.Address {
	a := resolver.Address{Addr: e.Address, ServerName: e.Authority}
	if e.Security != ByConfig {
		a.Attributes = a.Attributes.WithValue(securityKey{}, e.Security)
	}
	return a
}
