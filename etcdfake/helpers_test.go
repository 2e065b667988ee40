package etcdfake_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/etcdfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs a test with virtual time on a cluster and a client of it.
func inBubble(
	t *testing.T, f func(*testing.T, *etcdfake.Cluster, *clientv3.Client),
	opts ...etcdfake.Option,
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := etcdfake.New(t, opts...)
		f(t, c, c.Client())
	})
}

// to connects a client to one member only.
func to(m *etcdfake.Member) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = []string{m.Endpoint()} }
}

func mustPut(t *testing.T, client *clientv3.Client, key, value string, opts ...clientv3.OpOption) {
	t.Helper()
	_, err := client.Put(t.Context(), key, value, opts...)
	require.NoError(t, err)
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
