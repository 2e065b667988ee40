package clientv3

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/etcdtest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// ExampleCluster is the one server of all examples.
var ExampleCluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(ExampleCluster.Around(m)) }

// newTestClient makes a client that is closed with the test. It logs nothing
// unless cfg says so.
func newTestClient(tb testing.TB, cfg Config) *Client {
	tb.Helper()
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	c, err := New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
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
func eventually(tb testing.TB, cond func() bool, msg string, args ...any) {
	tb.Helper()
	require.Eventuallyf(tb, cond, 10*time.Second, time.Millisecond, msg, args...)
}
