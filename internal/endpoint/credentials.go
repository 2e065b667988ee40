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
	credentials.TransportCredentials // of a connection whose scheme says nothing

	plain, encrypted credentials.TransportCredentials
	serverName       string // to check all certificates against; "" means each endpoint's host
	opened           func(*attributes.Attributes, net.Conn) net.Conn
}

// NewCredentials returns credentials for connections to endpoints. A nil cfg
// leaves endpoints without a scheme unencrypted, and checks https ones against
// the system's certificate authorities. opened, if not nil, is told of each new
// connection with its address's attributes, and returns the one to go on with.
func NewCredentials(cfg *tls.Config, opened func(*attributes.Attributes, net.Conn) net.Conn) *Credentials {
	c := &Credentials{plain: insecure.NewCredentials(), opened: opened}
	if cfg == nil {
		c.encrypted = credentials.NewTLS(nil)
		c.TransportCredentials = c.plain
	} else {
		c.encrypted = credentials.NewTLS(cfg)
		c.serverName = cfg.ServerName
		c.TransportCredentials = c.encrypted
	}
	return c
}

// ClientHandshake secures conn as its endpoint demands.
func (c *Credentials) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.serverName != "" {
		authority = c.serverName // gRPC would prefer the address's own
	}
	attrs := credentials.ClientHandshakeInfoFromContext(ctx).Attributes
	if c.opened != nil {
		conn = c.opened(attrs, conn)
	}
	security, _ := attrs.Value(securityKey{}).(Security)
	switch security {
	case Plain:
		return c.plain.ClientHandshake(ctx, authority, conn)
	case Encrypted:
		return c.encrypted.ClientHandshake(ctx, authority, conn)
	default:
		return c.TransportCredentials.ClientHandshake(ctx, authority, conn)
	}
}

// Clone returns c, which nothing changes.
func (c *Credentials) Clone() credentials.TransportCredentials { return c }
