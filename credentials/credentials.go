package credentials

import (
	"context"
	"crypto/tls"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	grpccredentials "google.golang.org/grpc/credentials"
)

// PerRPCCredentialsBundle is an etcd token and the credentials that attach it to requests. Both
// methods are safe for concurrent use and never block.
type PerRPCCredentialsBundle interface {
	// UpdateAuthToken makes token the one that is attached to requests from now on, in one step.
	// With "" nothing is attached.
	UpdateAuthToken(token string)
	// PerRPCCredentials returns the credentials for grpc.WithPerRPCCredentials. What it returned
	// before follows UpdateAuthToken too. They attach the token also to connections without
	// transport security.
	PerRPCCredentials() grpccredentials.PerRPCCredentials
}

// NewPerRPCCredentialBundle returns a bundle that holds no token yet.
func NewPerRPCCredentialBundle() PerRPCCredentialsBundle { return &tokenBundle{} }

// NewTransportCredential returns TLS credentials for grpc.WithTransportCredentials. The config is
// copied; nil stands for the zero tls.Config. A ServerName left empty is that of the endpoint of
// each connection.
func NewTransportCredential(cfg *tls.Config) grpccredentials.TransportCredentials {
	return grpccredentials.NewTLS(cfg)
}

// tokenBundle is both the bundle and its credentials.
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
