package clientv3_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

func TestNewClientConfigTakesOverEveryField(t *testing.T) {
	spec := &clientv3.ConfigSpec{
		Endpoints: []string{"a:1"}, RequestTimeout: 6, DialTimeout: 1, KeepAliveTime: 2,
		KeepAliveTimeout:   3,
		MaxCallSendMsgSize: 4, MaxCallRecvMsgSize: 5, DisableProbes: true,
		Auth: &clientv3.AuthConfig{Username: "u", Password: "p", Token: "t"},
	}
	cfg, err := clientv3.NewClientConfig(spec, nil)
	require.NoError(t, err)
	assert.Equal(t, &clientv3.Config{
		Endpoints: []string{"a:1"}, DialTimeout: 1, DialKeepAliveTime: 2, DialKeepAliveTimeout: 3,
		MaxCallSendMsgSize: 4, MaxCallRecvMsgSize: 5, DisableProbes: true, Username: "u",
		Password: "p", Token: "t",
	}, cfg)
	cfg.Endpoints[0] = "changed"
	assert.Equal(t, "a:1", spec.Endpoints[0])
}

// TestNewClientConfigTLS shows the TLS settings that each combination of fields results in.
func TestNewClientConfigTLS(t *testing.T) {
	for _, tc := range []struct {
		secure     *clientv3.SecureConfig
		tls, skip  bool
		serverName string
	}{
		{nil, false, false, ""},
		{&clientv3.SecureConfig{}, true, false, ""},
		{&clientv3.SecureConfig{InsecureTransport: true}, false, false, ""},
		{&clientv3.SecureConfig{InsecureTransport: true, InsecureSkipVerify: true}, true, true, ""},
		{&clientv3.SecureConfig{InsecureSkipVerify: true}, true, true, ""},
		{&clientv3.SecureConfig{ServerName: "x"}, true, false, "x"},
		{&clientv3.SecureConfig{ServerName: "x", InsecureTransport: true}, true, false, "x"},
	} {
		lg, logs := testclient.Observed(zapcore.WarnLevel)
		cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{Secure: tc.secure}, lg)
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
	for _, secure := range []*clientv3.SecureConfig{
		{Cacert: missing},
		{Cacert: missing, InsecureTransport: true},
		{Cert: missing, Key: missing},
		{Cert: missing},
		{Key: missing},
	} {
		_, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{Secure: secure}, zap.NewNop())
		assert.ErrorContains(t, err, "missing.pem", "%+v", secure)
	}
	_, err := clientv3.NewClientConfig(nil, nil)
	assert.ErrorContains(t, err, "ConfigSpec")
}

func TestNewClientConfigReachesAMutualTLSServer(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.WithMutualTLS())
	cfg, err := clientv3.NewClientConfig(&clientv3.ConfigSpec{
		Endpoints: cluster.Endpoints(), DialTimeout: 10 * time.Second,
		Secure: &clientv3.SecureConfig{Cacert: cluster.CAFile(), Cert: cluster.CertFile("client"),
			Key: cluster.KeyFile("client")},
	}, zap.NewNop())
	require.NoError(t, err)
	c := testclient.New(t, *cfg)
	_, err = c.Put(t.Context(), "k", "v")
	require.NoError(t, err)
}

func TestConfigSpecClone(t *testing.T) {
	var none *clientv3.ConfigSpec
	assert.Nil(t, none.Clone())
	spec := &clientv3.ConfigSpec{Endpoints: []string{"a:1"},
		Secure: &clientv3.SecureConfig{Cert: "c"},
		Auth:   &clientv3.AuthConfig{Username: "u"}}
	clone := spec.Clone()
	require.Equal(t, spec, clone)
	clone.Endpoints[0], clone.Secure.Cert, clone.Auth.Username = "b", "d", "w"
	assert.Equal(t, &clientv3.ConfigSpec{Endpoints: []string{"a:1"},
		Secure: &clientv3.SecureConfig{Cert: "c"},
		Auth:   &clientv3.AuthConfig{Username: "u"}}, spec)
}

func TestAuthConfigEmpty(t *testing.T) {
	assert.True(t, clientv3.AuthConfig{}.Empty())
	assert.False(t, clientv3.AuthConfig{Username: "u"}.Empty())
	assert.False(t, clientv3.AuthConfig{Password: "p"}.Empty())
	assert.False(t, clientv3.AuthConfig{Token: "t"}.Empty())
}
