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

// Observed returns a logger for entries of the given level and above, and the logs in which it
// records these entries.
func Observed(level zapcore.Level) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(level)
	return zap.New(core), logs
}

// Logger returns a logger that writes to cfg.Logger, or nowhere if that is nil. If an entry
// contains a secret of cfg, the test fails at its end. Secrets are the token and all passwords,
// also those in endpoints. If cfg has a logger and no secrets, Logger returns cfg.Logger itself.
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

// secretsOf returns the secrets of cfg. It leaves out secrets shorter than 4 bytes, because other
// text may contain them by chance.
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
