package clientv3

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// ExampleCluster is the server that all examples share.
var ExampleCluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(ExampleCluster.Around(m)) }

// newTestClient makes a client that is closed with the test. It logs nothing
// unless cfg says so.
func newTestClient(tb testing.TB, cfg Config) *Client {
	tb.Helper()
	cfg.Logger = testLogger(tb, cfg)
	c, err := New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

// testLogger is the Config's logger, if any, and fails the test on an entry with a
// secret of the Config: a password, a token, or user information in an endpoint.
func testLogger(tb testing.TB, cfg Config) *zap.Logger {
	hidden := secretsOf(cfg)
	core := zapcore.NewNopCore()
	if cfg.Logger != nil {
		core = cfg.Logger.Core()
	}
	if len(hidden) == 0 && cfg.Logger != nil {
		return cfg.Logger
	}
	check, logs := observer.New(zapcore.DebugLevel)
	tb.Cleanup(func() {
		for _, e := range logs.All() {
			requireNoSecret(tb, hidden, fmt.Sprint(e.Message, e.ContextMap()))
		}
	})
	return zap.New(zapcore.NewTee(core, check))
}

// secretsOf are what must not show, but for those that are too short to tell from
// other text.
func secretsOf(cfg Config) []string {
	all := []string{cfg.Password, cfg.Token}
	for _, ep := range cfg.Endpoints {
		if user, _, found := strings.Cut(ep, "@"); found {
			_, user, _ = strings.Cut("//"+user, ":")
			all = append(all, user[strings.LastIndexAny(user, ":/")+1:])
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 4 })
}

func requireNoSecret(tb testing.TB, secrets []string, text string) {
	tb.Helper()
	for _, s := range secrets {
		require.NotContains(tb, text, s)
	}
}

// newFakeClient starts a fake member and a client of it.
func newFakeClient(tb testing.TB, cfg Config, opts ...etcdfake.Option) (*etcdfake.Server, *Client) {
	tb.Helper()
	s := etcdfake.Start(tb, opts...)
	cfg.Endpoints = []string{s.Addr()}
	return s, newTestClient(tb, cfg)
}

// observed returns a logger from the given level up, and what it was told.
func observed(level zapcore.Level) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(level)
	return zap.New(core), logs
}

// eventually waits for a condition that a test expects to hold soon.
func eventually(tb testing.TB, cond func() bool, msg string) {
	tb.Helper()
	require.Eventually(tb, cond, 10*time.Second, time.Millisecond, msg)
}
