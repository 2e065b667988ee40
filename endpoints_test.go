package clientv3

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"go.etcd.io/etcd/client/v3/internal/endpoint"
)

// TestSecuredEndpointKeepsItsZone: if a member advertises an http URL, a client with TLS turns it
// into an https URL. The zone of an IPv6 address stays in the address to dial and in the endpoint's
// text.
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
