// Package credentials has gRPC credentials for programs that open their own connections to an etcd
// server. There are credentials for TLS, and for a token that can be replaced while requests are
// under way.
//
//	token := credentials.NewPerRPCCredentialBundle()
//	conn, err := grpc.NewClient(target, grpc.WithPerRPCCredentials(token.PerRPCCredentials()), …)
//	token.UpdateAuthToken(login.Token) // from the answer to Authenticate
//
// A request carries the token in the metadata with the key "token". When a server refuses the token
// (rpctypes.ErrInvalidAuthToken), the program must ask for a new token itself.
//
// A program that uses a clientv3.Client does not need this package: the Client makes and refreshes
// its own credentials.
package credentials

import (
	"context"
	"crypto/tls"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	grpccredentials "google.golang.org/grpc/credentials"
)

// PerRPCCredentialsBundle is an etcd token and the credentials that attach the token to requests.
// All methods are safe for concurrent use and never block.
type PerRPCCredentialsBundle interface {
	// UpdateAuthToken replaces the token that is attached to requests, atomically. After a call
	// with "", no token is attached.
	UpdateAuthToken(token string)
	// PerRPCCredentials returns the credentials for grpc.WithPerRPCCredentials. These credentials
	// attach the token that was last given to UpdateAuthToken, also on connections without
	// transport security.
	PerRPCCredentials() grpccredentials.PerRPCCredentials
}

// NewPerRPCCredentialBundle returns a bundle without a token.
func NewPerRPCCredentialBundle() PerRPCCredentialsBundle { return &tokenBundle{} }

// NewTransportCredential returns TLS credentials for grpc.WithTransportCredentials. cfg is copied;
// nil means the zero tls.Config. If cfg has no ServerName, the server's certificate is checked
// against the host name of the connection's target.
func NewTransportCredential(cfg *tls.Config) grpccredentials.TransportCredentials {
	return grpccredentials.NewTLS(cfg)
}

// tokenBundle is both the bundle and the credentials: its method PerRPCCredentials returns the
// tokenBundle itself.
type tokenBundle struct {
	metadata atomic.Pointer[map[string]string] // nil: no token; the map is never changed
}

func (b *tokenBundle) UpdateAuthToken(token string) {
	if token == "" {
		b.metadata.Store(nil)
		return
	}
	b.metadata.Store(&map[string]string{rpctypes.TokenFieldNameGRPC: token})
}

func (b *tokenBundle) PerRPCCredentials() grpccredentials.PerRPCCredentials { return b }

// GetRequestMetadata returns the metadata with the token. All requests with the same token get the
// same map. gRPC only reads the map.
func (b *tokenBundle) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if md := b.metadata.Load(); md != nil {
		return *md, nil
	}
	return nil, nil
}

func (b *tokenBundle) RequireTransportSecurity() bool { return false }

// Config is the argument of NewBundle.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
type Config struct {
	// TLSConfig holds the TLS settings. NewBundle copies it; nil means the zero tls.Config.
	TLSConfig *tls.Config
}

// Bundle holds TLS credentials and a token that can be replaced. It is for
// grpc.WithCredentialsBundle.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
type Bundle interface {
	grpccredentials.Bundle
	// UpdateAuthToken replaces the token that is attached to requests, atomically. After a call
	// with "", no token is attached. UpdateAuthToken is safe for concurrent use.
	UpdateAuthToken(token string)
}

// NewBundle returns a Bundle without a token. Its method NewWithMode returns nil and no error,
// because a Bundle has no modes.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
func NewBundle(cfg Config) Bundle {
	return &bundle{transport: NewTransportCredential(cfg.TLSConfig)}
}

type bundle struct {
	tokenBundle
	transport grpccredentials.TransportCredentials
}

func (b *bundle) TransportCredentials() grpccredentials.TransportCredentials { return b.transport }

func (b *bundle) NewWithMode(string) (grpccredentials.Bundle, error) { return nil, nil }
