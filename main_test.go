package clientv3

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// atExit runs after all tests and before the check for leaked goroutines. Tests
// that share a server among them stop it here.
var atExit []func()

type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	for _, f := range atExit {
		f()
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

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
