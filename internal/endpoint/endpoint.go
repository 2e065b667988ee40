// Package endpoint parses the endpoints that users configure.
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"google.golang.org/grpc/resolver"
)

// Security says whether the scheme of an endpoint demands that its connection is encrypted.
type Security uint8

const (
	// ByConfig is the Security of unix endpoints and of endpoints without a scheme. Connections to
	// them are encrypted if the client has a TLS configuration.
	ByConfig Security = iota
	// Plain is the Security of http endpoints. Connections to them are never encrypted.
	Plain
	// Encrypted is the Security of https and unixs endpoints. Connections to them are always
	// encrypted.
	Encrypted
)

// Endpoint is a parsed endpoint. All spellings of one endpoint have the same Address and Authority.
type Endpoint struct {
	// Address is what is dialled: "host:port", "unix:path" or "unix:///path".
	Address string
	// Authority is the host with its port, or the name of a unix socket. Requests carry it, and the
	// server's certificate is checked against its host.
	Authority string
	// Security is the security that the scheme demands.
	Security Security
}

const unixPrefix = "unix:"

// Parse parses an endpoint. It understands
//
//	host:port  http://host:port  https://host:port
//	unix:path  unix:///path  unixs:path  unixs:///path
//
// with IPv6 literals in brackets. It ignores user information, and a path behind host:port. Its
// error says what is wrong, and quotes the endpoint without user information.
func Parse(ep string) (Endpoint, error) {
	e, err := parse(ep)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", Redact(ep), err)
	}
	return e, nil
}

// Raw returns the Endpoint for a text that only the program's own dialer understands. The dialer
// gets the text unchanged.
func Raw(ep string) Endpoint {
	name := ep
	if _, rest, found := strings.Cut(ep, "://"); found {
		name = strings.TrimLeft(rest, "/")
	}
	name = name[strings.LastIndexByte(name, '@')+1:]
	if name == "" {
		name = "localhost"
	}
	return Endpoint{Address: ep, Authority: headerSafe(name)}
}

func parse(ep string) (Endpoint, error) {
	for prefix, security := range map[string]Security{unixPrefix: ByConfig, "unixs:": Encrypted} {
		if socket, ok := strings.CutPrefix(ep, prefix); ok {
			return parseUnix(socket, security)
		}
	}
	scheme, _, found := strings.Cut(ep, "://")
	if !found {
		return parseHost(ep, ByConfig)
	}
	u, err := url.Parse(ep)
	if err != nil {
		return Endpoint{}, urlError(ep)
	}
	switch strings.ToLower(scheme) {
	case "http":
		return parseHost(u.Host, Plain)
	case "https":
		return parseHost(u.Host, Encrypted)
	}
	return Endpoint{}, fmt.Errorf("unknown scheme %q, want http, https, unix or unixs", scheme)
}

// urlError returns the reason why url.Parse refuses ep. It parses ep without the user information,
// because an error of url.Parse could quote the password.
func urlError(ep string) error {
	_, err := url.Parse(Redact(ep))
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return errors.New("malformed user information")
}

func parseUnix(socket string, security Security) (Endpoint, error) {
	socket = strings.TrimPrefix(socket, "//")
	if socket == "" {
		return Endpoint{}, errors.New("no socket path")
	}
	address := unixPrefix + socket
	if path.IsAbs(socket) {
		address = unixPrefix + "//" + socket
	}
	return Endpoint{Address: address, Authority: headerSafe(path.Base(socket)), Security: security},
		nil
}

func parseHost(host string, security Security) (Endpoint, error) {
	if host == "" {
		return Endpoint{}, errors.New("no host")
	}
	if i := strings.IndexAny(host, " \t\r\n/?#@\\"); i >= 0 {
		return Endpoint{}, fmt.Errorf("%q does not belong in a host", host[i])
	}
	name, port, err := net.SplitHostPort(host)
	switch {
	case err == nil:
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return Endpoint{}, fmt.Errorf("port %q is not a number up to 65535", port)
		}
		if name == "" {
			return Endpoint{Address: host, Authority: "localhost" + host, Security: security}, nil
		}
		host = net.JoinHostPort(canonical(name), port)
	case strings.Contains(host, ":"):
		return Endpoint{}, err
	}
	return Endpoint{Address: host, Authority: host, Security: security}, nil
}

// canonical returns the canonical spelling of a host: lower case, or an IP address's usual form.
func canonical(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String()
	}
	return strings.ToLower(host)
}

// headerSafe returns name in a form that is valid in a request's header.
func headerSafe(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0 {
		return name
	}
	return url.PathEscape(name)
}

// Network converts the Address of an [Endpoint] to the two arguments of net.Dial: the name of the
// network, and the address in this network.
func Network(address string) (network, target string) {
	if socket, ok := strings.CutPrefix(address, unixPrefix); ok {
		return "unix", strings.TrimPrefix(socket, "//")
	}
	return "tcp", address
}

// Redact removes the user information from ep, so that ep can be written to errors and logs. ep may
// be malformed.
func Redact(ep string) string {
	at := strings.LastIndexByte(ep, '@')
	if at < 0 {
		return ep
	}
	scheme, _, found := strings.Cut(ep[:at], "://")
	if !found {
		return "xxxxx" + ep[at:]
	}
	return scheme + "://xxxxx" + ep[at:]
}

// RedactAll returns the result of Redact for each of eps.
func RedactAll(eps []string) []string {
	out := make([]string, len(eps))
	for i, ep := range eps {
		out[i] = Redact(ep)
	}
	return out
}

// Resolved returns the address to pass to gRPC, with the name of the server. If creds is not nil,
// the attributes of the address contain the credentials for connections to e (see [BundleOf]).
func (e Endpoint) Resolved(creds *Credentials) resolver.Address {
	a := resolver.Address{Addr: e.Address, ServerName: e.Authority}
	if creds != nil {
		a.Attributes = a.Attributes.WithValue(bundleKey{}, creds.bundle(e.Security))
	}
	return a
}
