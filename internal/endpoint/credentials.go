package endpoint

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Credentials encrypts each connection or not, as the endpoint's scheme and the
// presence of a TLS configuration say. It is immutable.
type Credentials struct {
	credentials.TransportCredentials // their Info is that of a whole client, see As

	plain, encrypted *bundle
	byConfig         *bundle // one of them
}

// NewCredentials returns credentials for connections to endpoints. A nil cfg
// leaves endpoints without a scheme unencrypted, and checks https ones against
// the system's certificate authorities. opened, if not nil, is told of each new
// connection with its address's attributes, and returns the one to go on with.
func NewCredentials(
	cfg *tls.Config, opened func(*attributes.Attributes, net.Conn) net.Conn,
) *Credentials {
	c := &Credentials{
		plain:     &bundle{trackedCredentials{insecure.NewCredentials(), "", opened}},
		encrypted: &bundle{trackedCredentials{credentials.NewTLS(cfg), "", opened}},
	}
	c.byConfig = c.plain
	if cfg != nil {
		c.byConfig = c.encrypted
		c.plain.creds.serverName, c.encrypted.creds.serverName = cfg.ServerName, cfg.ServerName
	}
	c.TransportCredentials = c.byConfig.creds
	return c
}

// As returns c with the Info of connections of security s.
func (c *Credentials) As(s Security) *Credentials {
	out := *c
	out.TransportCredentials = c.bundle(s).creds
	return &out
}

// Encrypts reports whether a connection with the demand s is encrypted.
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
		return b.creds.ClientHandshake(ctx, authority, conn)
	}
	return c.byConfig.creds.ClientHandshake(ctx, authority, conn)
}

// Clone returns c, which nothing changes.
func (c *Credentials) Clone() credentials.TransportCredentials { return c }

// bundle is the security of one connection: its Info is what the connection is.
type bundle struct{ creds trackedCredentials }

type bundleKey struct{}

// BundleOf returns the security that an address demands by its attributes, or nil.
func BundleOf(a *attributes.Attributes) credentials.Bundle {
	if b, ok := a.Value(bundleKey{}).(*bundle); ok {
		return b
	}
	return nil
}

func (b *bundle) TransportCredentials() credentials.TransportCredentials { return b.creds }

func (b *bundle) PerRPCCredentials() credentials.PerRPCCredentials { return nil }

func (b *bundle) NewWithMode(string) (credentials.Bundle, error) { return b, nil }

// trackedCredentials are those of one kind of connection.
type trackedCredentials struct {
	credentials.TransportCredentials
	serverName string // to check all certificates against; "" means each endpoint's host
	opened     func(*attributes.Attributes, net.Conn) net.Conn
}

func (c trackedCredentials) ClientHandshake(
	ctx context.Context, authority string, conn net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	if c.serverName != "" {
		authority = c.serverName // gRPC would prefer the address's own
	}
	if c.opened != nil {
		conn = c.opened(credentials.ClientHandshakeInfoFromContext(ctx).Attributes, conn)
	}
	return c.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

func (c trackedCredentials) Clone() credentials.TransportCredentials { return c }
