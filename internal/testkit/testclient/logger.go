package testclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Observed returns a logger from the given level up, and the entries that it gets.
func Observed(level zapcore.Level) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(level)
	return zap.New(core), logs
}

// Logger returns a logger that writes to the one of cfg, or nowhere if cfg has none. At the end of
// the test an entry with a secret of cfg fails it: a password, also one in an endpoint, or a token.
// A logger of cfg without secrets is returned as it is.
func Logger(tb testing.TB, cfg clientv3.Config) *zap.Logger {
	secrets := secretsOf(cfg)
	if len(secrets) == 0 && cfg.Logger != nil {
		return cfg.Logger
	}
	out := zapcore.NewNopCore()
	if cfg.Logger != nil {
		out = cfg.Logger.Core()
	}
	check, logs := observer.New(zapcore.DebugLevel)
	tb.Cleanup(func() {
		for _, e := range logs.All() {
			RequireNoSecret(tb, secrets, fmt.Sprint(e.Message, e.ContextMap()))
		}
	})
	return zap.New(zapcore.NewTee(out, check))
}

// RequireNoSecret fails the test if text contains one of secrets.
func RequireNoSecret(tb testing.TB, secrets []string, text string) {
	tb.Helper()
	for _, s := range secrets {
		require.NotContains(tb, text, s)
	}
}

// secretsOf returns the secrets of cfg, except those too short to tell from other text.
func secretsOf(cfg clientv3.Config) []string {
	all := []string{cfg.Password, cfg.Token}
	for _, ep := range cfg.Endpoints {
		if user, _, found := strings.Cut(ep, "@"); found {
			_, user, _ = strings.Cut("//"+user, ":")
			all = append(all, user[strings.LastIndexAny(user, ":/")+1:])
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 4 })
}
