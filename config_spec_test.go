package clientv3

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

func TestNewClientConfigTakesOverEveryField(t *testing.T) {
	spec := &ConfigSpec{
		Endpoints: []string{"a:1"}, RequestTimeout: 6, DialTimeout: 1, KeepAliveTime: 2,
		KeepAliveTimeout:   3,
		MaxCallSendMsgSize: 4, MaxCallRecvMsgSize: 5, DisableProbes: true,
		Auth: &AuthConfig{Username: "u", Password: "p", Token: "t"},
	}
	cfg, err := NewClientConfig(spec, nil)
	require.NoError(t, err)
	assert.Equal(t, &Config{
		Endpoints: []string{"a:1"}, DialTimeout: 1, DialKeepAliveTime: 2, DialKeepAliveTimeout: 3,
		MaxCallSendMsgSize: 4, MaxCallRecvMsgSize: 5, DisableProbes: true, Username: "u",
		Password: "p", Token: "t",
	}, cfg)
	cfg.Endpoints[0] = "changed"
	assert.Equal(t, "a:1", spec.Endpoints[0])
}

// TestNewClientConfigTLS shows what each mixture of TLS fields gives.
func TestNewClientConfigTLS(t *testing.T) {
	for _, tc := range []struct {
		secure     *SecureConfig
		tls, skip  bool
		serverName string
	}{
		{nil, false, false, ""},
		{&SecureConfig{}, true, false, ""},
		{&SecureConfig{InsecureTransport: true}, false, false, ""},
		{&SecureConfig{InsecureTransport: true, InsecureSkipVerify: true}, true, true, ""},
		{&SecureConfig{InsecureSkipVerify: true}, true, true, ""},
		{&SecureConfig{ServerName: "x"}, true, false, "x"},
		{&SecureConfig{ServerName: "x", InsecureTransport: true}, true, false, "x"},
	} {
		lg, logs := observed(zapcore.WarnLevel)
		cfg, err := NewClientConfig(&ConfigSpec{Secure: tc.secure}, lg)
		require.NoError(t, err)
		require.Equal(t, tc.tls, cfg.TLS != nil, "%+v", tc.secure)
		assert.Equal(t, tc.skip, logs.Len() == 1, "it warns where nothing is verified")
		if tc.tls {
			assert.Equal(t, tc.skip, cfg.TLS.InsecureSkipVerify)
			assert.Equal(t, tc.serverName, cfg.TLS.ServerName)
		}
	}
}

func TestNewClientConfigErrorsNameTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for _, secure := range []*SecureConfig{
		{Cacert: missing},
		{Cacert: missing, InsecureTransport: true},
		{Cert: missing, Key: missing},
		{Cert: missing},
		{Key: missing},
	} {
		_, err := NewClientConfig(&ConfigSpec{Secure: secure}, zap.NewNop())
		assert.ErrorContains(t, err, "missing.pem", "%+v", secure)
	}
	_, err := NewClientConfig(nil, nil)
	assert.ErrorContains(t, err, "ConfigSpec")
}

func TestNewClientConfigReachesAMutualTLSServer(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMutualTLS())
	cfg, err := NewClientConfig(&ConfigSpec{
		Endpoints: cluster.Endpoints(), DialTimeout: 10 * time.Second,
		Secure: &SecureConfig{Cacert: cluster.CAFile(), Cert: cluster.CertFile("client"),
			Key: cluster.KeyFile("client")},
	}, zap.NewNop())
	require.NoError(t, err)
	c := newTestClient(t, *cfg)
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
}

func TestConfigSpecClone(t *testing.T) {
	var none *ConfigSpec
	assert.Nil(t, none.Clone())
	spec := &ConfigSpec{Endpoints: []string{"a:1"}, Secure: &SecureConfig{Cert: "c"},
		Auth: &AuthConfig{Username: "u"}}
	clone := spec.Clone()
	require.Equal(t, spec, clone)
	clone.Endpoints[0], clone.Secure.Cert, clone.Auth.Username = "b", "d", "w"
	assert.Equal(t, &ConfigSpec{Endpoints: []string{"a:1"}, Secure: &SecureConfig{Cert: "c"},
		Auth: &AuthConfig{Username: "u"}}, spec)
}

func TestAuthConfigEmpty(t *testing.T) {
	assert.True(t, AuthConfig{}.Empty())
	assert.False(t, AuthConfig{Username: "u"}.Empty())
	assert.False(t, AuthConfig{Password: "p"}.Empty())
	assert.False(t, AuthConfig{Token: "t"}.Empty())
}
