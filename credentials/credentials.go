// Package credentials has gRPC credentials for programs that open their own connections to an etcd
// server: transport security over TLS, and a token that can be replaced while requests are under
// way.
//
//	token := credentials.NewPerRPCCredentialBundle()
//	conn, err := grpc.NewClient(target, grpc.WithPerRPCCredentials(token.PerRPCCredentials()), …)
//	token.UpdateAuthToken(login.Token) // from the answer to Authenticate
//
// A request carries the token in the metadata "token". A program that uses the package asks for a
// new token itself, when a server refuses the old one (rpctypes.ErrInvalidAuthToken).
//
// A clientv3.Client makes and refreshes its own credentials; a program does not need this package
// to use one.
package credentials

import (
	"context"
	"crypto/tls"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	grpccredentials "google.golang.org/grpc/credentials"
)

// PerRPCCredentialsBundle is an etcd token and the credentials that attach it to requests. The
// methods are safe for concurrent use and never block.
type PerRPCCredentialsBundle interface {
	// UpdateAuthToken replaces the token that is attached to requests, in one step. With "" nothing
	// is attached.
	UpdateAuthToken(token string)
	// PerRPCCredentials returns the credentials for grpc.WithPerRPCCredentials. They attach the
	// token of the last UpdateAuthToken, also on connections without transport security.
	PerRPCCredentials() grpccredentials.PerRPCCredentials
}

// NewPerRPCCredentialBundle returns a bundle without a token.
func NewPerRPCCredentialBundle() PerRPCCredentialsBundle { return &tokenBundle{} }

// NewTransportCredential returns TLS credentials for grpc.WithTransportCredentials. The config is
// copied; nil stands for the zero tls.Config. If ServerName is empty, it is that of the endpoint of
// each connection.
func NewTransportCredential(cfg *tls.Config) grpccredentials.TransportCredentials {
	return grpccredentials.NewTLS(cfg)
}

// tokenBundle is a PerRPCCredentialsBundle, and also the credentials that it returns.
type tokenBundle struct {
	metadata atomic.Pointer[map[string]string] // nil, or a map that is never changed
}

func (b *tokenBundle) UpdateAuthToken(token string) {
	if token == "" {
		b.metadata.Store(nil)
		return
	}
	b.metadata.Store(&map[string]string{rpctypes.TokenFieldNameGRPC: token})
}

func (b *tokenBundle) PerRPCCredentials() grpccredentials.PerRPCCredentials { return b }

// GetRequestMetadata returns a map that all requests with one token share; gRPC only reads it.
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
	// TLSConfig is copied by NewBundle; nil stands for the zero tls.Config.
	TLSConfig *tls.Config
}

// Bundle is transport security and a replaceable token, for grpc.WithCredentialsBundle.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
type Bundle interface {
	grpccredentials.Bundle
	// UpdateAuthToken replaces the token that is attached to requests, in one step. With "" nothing
	// is attached. It is safe for concurrent use.
	UpdateAuthToken(token string)
}

// NewBundle returns a Bundle without a token. Its NewWithMode returns nil and no error, because
// there are no modes.
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
