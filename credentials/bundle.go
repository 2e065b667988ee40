package credentials

import (
	"crypto/tls"

	grpccredentials "google.golang.org/grpc/credentials"
)

// Config is what NewBundle makes a Bundle of.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
type Config struct {
	// TLSConfig is copied by NewBundle; nil stands for the zero tls.Config.
	TLSConfig *tls.Config
}

// Bundle is transport security and a replaceable token in one, for grpc.WithCredentialsBundle.
//
// Deprecated: use NewTransportCredential and NewPerRPCCredentialBundle.
type Bundle interface {
	grpccredentials.Bundle
	// UpdateAuthToken makes token the one that is attached to requests from now on, in one step.
	// With "" nothing is attached. It is safe for concurrent use.
	UpdateAuthToken(token string)
}

// NewBundle returns a Bundle that holds no token yet. Its NewWithMode returns nil and no error:
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
