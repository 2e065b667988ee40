package endpoint

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Credentials are transport credentials that secure each connection as the scheme of its endpoint
// demands. They are immutable.
type Credentials struct {
	// The embedded value provides the method Info. It is byConfig, or the bundle that the method As
	// has chosen.
	credentials.TransportCredentials

	plain, encrypted *bundle
	byConfig         *bundle // plain or encrypted; for endpoints whose Security is ByConfig
}

// NewCredentials returns credentials for connections to endpoints. If cfg is nil, endpoints without
// a scheme are not encrypted, and the certificates of https endpoints are checked against the
// system's certificate authorities.
//
// If opened is not nil, it is called with each new connection and the attributes of its address. It
// returns the connection to use instead.
func NewCredentials(
	cfg *tls.Config, opened func(*attributes.Attributes, net.Conn) net.Conn,
) *Credentials {
	c := &Credentials{
		plain:     &bundle{insecure.NewCredentials(), "", opened},
		encrypted: &bundle{credentials.NewTLS(cfg), "", opened},
	}
	c.byConfig = c.plain
	if cfg != nil {
		c.byConfig = c.encrypted
		c.plain.serverName, c.encrypted.serverName = cfg.ServerName, cfg.ServerName
	}
	c.TransportCredentials = c.byConfig
	return c
}

// As returns a copy of c whose method Info describes a connection with security s.
func (c *Credentials) As(s Security) *Credentials {
	out := *c
	out.TransportCredentials = c.bundle(s)
	return &out
}

// Encrypts reports whether a connection with security s is encrypted.
func (c *Credentials) Encrypts(s Security) bool { return c.bundle(s) == c.encrypted }

func (c *Credentials) bundle(s Security) *bundle {
	switch s {
	case Plain:
		return c.plain
	case Encrypted:
		return c.encrypted
	default:
		return c.byConfig
	}
}

// ClientHandshake secures conn as its endpoint demands.
func (c *Credentials) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	info := credentials.ClientHandshakeInfoFromContext(ctx)
	if b, ok := info.Attributes.Value(bundleKey{}).(*bundle); ok {
		return b.ClientHandshake(ctx, authority, conn)
	}
	return c.byConfig.ClientHandshake(ctx, authority, conn)
}

// Clone returns c itself, because nothing changes it.
func (c *Credentials) Clone() credentials.TransportCredentials { return c }

// bundle secures connections. Credentials has two bundles: one encrypts connections with TLS, and
// one does not encrypt. An address carries its bundle among its attributes. bundle implements
// credentials.TransportCredentials and credentials.Bundle.
//
// Before the handshake, a bundle passes each new connection to the function opened. It goes on with
// the connection that opened returns.
type bundle struct {
	transport
	// serverName is the name that the certificates of all servers are checked for. If it is empty,
	// the certificate of a server is checked for the host of its endpoint.
	serverName string
	opened     func(*attributes.Attributes, net.Conn) net.Conn
}

// transport is an alias of credentials.TransportCredentials, which bundle embeds. Without the
// alias, the embedded field would be named TransportCredentials, and bundle could not have a method
// with this name.
type transport = credentials.TransportCredentials

type bundleKey struct{}

// BundleOf returns the credentials that an address carries among its attributes, or nil.
func BundleOf(a *attributes.Attributes) credentials.Bundle {
	b, _ := a.Value(bundleKey{}).(credentials.Bundle)
	return b
}

func (b *bundle) TransportCredentials() credentials.TransportCredentials { return b }

func (b *bundle) PerRPCCredentials() credentials.PerRPCCredentials { return nil }

func (b *bundle) NewWithMode(string) (credentials.Bundle, error) { return b, nil }

func (b *bundle) Clone() credentials.TransportCredentials { return b }

// ClientHandshake secures conn.
func (b *bundle) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	if b.serverName != "" {
		authority = b.serverName // instead of the server name of the address, which gRPC passes
	}
	if b.opened != nil {
		conn = b.opened(credentials.ClientHandshakeInfoFromContext(ctx).Attributes, conn)
	}
	return b.transport.ClientHandshake(ctx, authority, conn)
}
