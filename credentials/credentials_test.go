package credentials_test

import (
	"context"
	"crypto/tls"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	grpccredentials "google.golang.org/grpc/credentials"

	"go.etcd.io/etcd/client/v3/credentials"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func metadata(t *testing.T, c grpccredentials.PerRPCCredentials) map[string]string {
	t.Helper()
	md, err := c.GetRequestMetadata(t.Context(), "https://etcd/etcdserverpb.KV")
	require.NoError(t, err)
	return md
}

func TestTokenIsReplacedInPlace(t *testing.T) {
	bundle := credentials.NewBundle(credentials.Config{})
	for name, b := range map[string]credentials.PerRPCCredentialsBundle{
		"per RPC bundle": credentials.NewPerRPCCredentialBundle(),
		"bundle":         bundle.(credentials.PerRPCCredentialsBundle),
	} {
		t.Run(name, func(t *testing.T) {
			c := b.PerRPCCredentials()
			assert.False(t, c.RequireTransportSecurity())
			assert.Empty(t, metadata(t, c))
			b.UpdateAuthToken("one")
			assert.Equal(t, map[string]string{"token": "one"}, metadata(t, c))
			b.UpdateAuthToken("two")
			assert.Equal(t, map[string]string{"token": "two"}, metadata(t, c))
			assert.Equal(t, map[string]string{"token": "two"}, metadata(t, b.PerRPCCredentials()))
			b.UpdateAuthToken("")
			assert.Empty(t, metadata(t, c))
		})
	}
}

func TestTokenIsReplacedInOneStep(t *testing.T) {
	b := credentials.NewPerRPCCredentialBundle()
	b.UpdateAuthToken("a")
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for n, ok := 0, true; ok && n < 1000; n++ {
				b.UpdateAuthToken("b")
				md, err := b.PerRPCCredentials().GetRequestMetadata(context.Background())
				ok = assert.NoError(t, err) && assert.NotEmpty(t, md["token"])
			}
		})
	}
	users.Wait()
}

func TestTransportCredential(t *testing.T) {
	cfg := &tls.Config{ServerName: "member-1"}
	c := credentials.NewTransportCredential(cfg)
	cfg.ServerName = "changed"
	assert.Equal(t, "tls", c.Info().SecurityProtocol)
	//nolint:staticcheck // ServerName is deprecated, but shows that a copy of cfg is used
	assert.Equal(t, "member-1", c.Clone().Info().ServerName)
	assert.Equal(t, "tls", credentials.NewTransportCredential(nil).Info().SecurityProtocol)
}

func TestBundle(t *testing.T) {
	b := credentials.NewBundle(credentials.Config{TLSConfig: &tls.Config{ServerName: "member-1"}})
	assert.Equal(t, "tls", b.TransportCredentials().Info().SecurityProtocol)
	assert.NotNil(t, credentials.NewBundle(credentials.Config{}).TransportCredentials())
	other, err := b.NewWithMode("balancer")
	assert.NoError(t, err)
	assert.Nil(t, other)
}
