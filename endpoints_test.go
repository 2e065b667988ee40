package clientv3

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// TestSecuredEndpointKeepsItsZone: a client with TLS uses an http URL that a member advertises as
// an https URL. If the URL's IPv6 address has a zone, the address to dial and the endpoint's text
// both keep the zone.
func TestSecuredEndpointKeepsItsZone(t *testing.T) {
	c := &Client{clientState: newState(t.Context())}
	c.creds = endpoint.NewCredentials(&tls.Config{}, nil)
	named, err := c.usable([]string{"https://[fe80::1%25eth0]:2379"})
	require.NoError(t, err)
	c.setEndpoints(named, true)
	for _, text := range []string{"http://[fe80::2%25eth0]:2379", "https://[fe80::2%25eth0]:2379"} {
		eps, err := c.usable([]string{text})
		require.NoError(t, err)
		c.secure(eps)
		addresses, encrypted := c.resolve(nil, eps)
		require.Len(t, addresses, 1)
		assert.Equal(t, "[fe80::2%eth0]:2379", addresses[0].Addr)
		assert.True(t, encrypted)
		assert.Equal(t, []string{"https://[fe80::2%25eth0]:2379"}, texts(eps))
	}
}
