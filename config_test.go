package clientv3

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"go.etcd.io/etcd/client/v3/mock/mockserver"
)

// TestBadConfig: the error of New names the bad value in a Config.
func TestBadConfig(t *testing.T) {
	eps := []string{"127.0.0.1:1"}
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "no available endpoints"},
		{Config{Endpoints: []string{""}}, `endpoint "": no host`},
		{Config{Endpoints: []string{"", "http://"}}, `endpoint "http://": no host`},
		{Config{Endpoints: []string{"ftp://a:1"}}, `endpoint "ftp://a:1": unknown scheme "ftp"`},
		{Config{Endpoints: []string{"http://a b:1"}}, `"http://a b:1"`},
		{Config{Endpoints: []string{"a b:1"}}, `' ' does not belong in a host`},
		{Config{Endpoints: []string{"a:99999"}}, `port "99999"`},
		{Config{Endpoints: []string{"a:etcd"}}, `port "etcd"`},
		{Config{Endpoints: []string{"fe80::1:2379"}}, `"fe80::1:2379"`},
		{Config{Endpoints: []string{"unix:"}}, `endpoint "unix:": no socket path`},
		{Config{Endpoints: []string{"unixs://"}}, `endpoint "unixs://": no socket path`},
		{Config{Endpoints: eps, Token: "t", Username: "u", Password: "p"}, "mutually exclusive"},
		{Config{Endpoints: eps, Token: "t", Username: "u"}, "mutually exclusive"},
		{Config{Endpoints: eps, DialTimeout: -time.Second}, "DialTimeout -1s is negative"},
		{Config{Endpoints: eps, AutoSyncInterval: -1}, "AutoSyncInterval -1ns is negative"},
		{Config{Endpoints: eps, DialKeepAliveTimeout: -1}, "DialKeepAliveTimeout -1ns"},
		{Config{Endpoints: eps, BackoffWaitBetween: -1}, "BackoffWaitBetween -1ns"},
		{Config{Endpoints: eps, MaxCallSendMsgSize: -3}, "MaxCallSendMsgSize -3 is negative"},
		{Config{Endpoints: eps, MaxCallRecvMsgSize: -3}, "MaxCallRecvMsgSize -3 is negative"},
		{Config{Endpoints: eps, MaxCallSendMsgSize: 100, MaxCallRecvMsgSize: 10},
			"MaxCallRecvMsgSize 10 is below MaxCallSendMsgSize 100"},
		{Config{Endpoints: eps, BackoffJitterFraction: 1.5}, "BackoffJitterFraction 1.5"},
		{Config{Endpoints: eps, BackoffJitterFraction: math.NaN()}, "BackoffJitterFraction NaN"},
		{Config{Endpoints: eps, BackoffJitterFraction: -0.1}, "BackoffJitterFraction -0.1"},
		{Config{Endpoints: eps, LogConfig: &zap.Config{Encoding: "runes"}}, "runes"},
	} {
		c, err := New(tc.cfg)
		require.ErrorContains(t, err, tc.want)
		assert.Nil(t, c)
	}
	_, err := New(Config{})
	assert.Equal(t, ErrNoAvailableEndpoints, err)
	_, err = New(Config{Endpoints: eps, Token: "t", Password: "p"})
	assert.Equal(t, ErrMutuallyExclusiveCfg, err)
}

// TestConfigDefaults: the defaults are those that the documentation of the fields promises.
func TestConfigDefaults(t *testing.T) {
	cfg := Config{Endpoints: []string{"a:1"}}.withDefaults()
	assert.Equal(t, 20*time.Second, cfg.DialTimeout)
	assert.Zero(t, cfg.DialKeepAliveTime)
	assert.Equal(t, 5*time.Second, cfg.DialKeepAliveTimeout)
	assert.EqualValues(t, 100, cfg.MaxUnaryRetries)
	assert.Equal(t, 25*time.Millisecond, cfg.BackoffWaitBetween)
	assert.Equal(t, 0.1, cfg.BackoffJitterFraction)
	assert.Equal(t, context.Background(), cfg.Context)
	assert.False(t, cfg.PermitWithoutStream || cfg.SpreadEvenly || cfg.DisableProbes ||
		cfg.RejectOldCluster)
	assert.Zero(t, cfg.AutoSyncInterval)
}

func TestDefaultLimits(t *testing.T) {
	cfg := Config{Endpoints: []string{"a:1"}}.withDefaults()
	require.NoError(t, cfg.validate())
	assert.Equal(t, 2*1024*1024, cfg.MaxCallSendMsgSize)
	assert.Equal(t, math.MaxInt32, cfg.MaxCallRecvMsgSize)
}

// TestSmallResponsesBesideTheDefaultForRequests shows that a program may set a limit for responses
// below the default limit for requests. If the program sets the limit for requests too, New refuses
// a limit for requests above the limit for responses.
func TestSmallResponsesBesideTheDefaultForRequests(t *testing.T) {
	c := newTestClient(t, Config{Endpoints: []string{"127.0.0.1:1"}, MaxCallRecvMsgSize: 1000})
	assert.Equal(t, 1000, c.cfg.MaxCallRecvMsgSize)
}

func TestConfigIsCopied(t *testing.T) {
	eps := []string{"127.0.0.1:1"}
	c := newTestClient(t, Config{Endpoints: eps})
	eps[0] = "changed"
	assert.Equal(t, []string{"127.0.0.1:1"}, c.Endpoints())
	c.Endpoints()[0] = "changed"
	assert.Equal(t, []string{"127.0.0.1:1"}, c.Endpoints())
}

// TestEndlessDurations: the longest possible durations do not overflow.
func TestEndlessDurations(t *testing.T) {
	const endless = time.Duration(math.MaxInt64)
	servers, err := mockserver.StartMockServers(1)
	require.NoError(t, err)
	defer servers.Stop()
	for name, cfg := range map[string]Config{
		"dial timeout":    {DialTimeout: endless},
		"keepalive":       {DialKeepAliveTime: endless, DialKeepAliveTimeout: endless},
		"timeout of ping": {DialKeepAliveTime: time.Minute, DialKeepAliveTimeout: endless},
		"no pings":        {DialKeepAliveTime: -1},
		"auto-sync":       {AutoSyncInterval: endless},
		"waits":           {BackoffWaitBetween: endless, BackoffJitterFraction: 1},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Endpoints = []string{servers.Servers[0].Address}
			c := newTestClient(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := c.Put(ctx, "k", "v")
			require.NoError(t, err)
			assert.Positive(t, c.retryConfig().Backoff.Base)
			assert.Positive(t, c.retryConfig().Backoff.Max)
			assert.Greater(t, firstTimeout(c.cfg.DialTimeout), time.Second)
		})
	}
	assert.Equal(t, endless, firstTimeout(endless))
	assert.Equal(t, 3*time.Second, firstTimeout(2*time.Second))
}
