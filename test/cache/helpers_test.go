package cache_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/cache"
)

// synced returns a cache that has read its range, and is closed with the test.
func synced(
	tb testing.TB, client *clientv3.Client, prefix string, opts ...cache.Option,
) *cache.Cache {
	tb.Helper()
	c, err := cache.New(client, prefix, opts...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	require.NoError(tb, c.WaitSynced(tb.Context()))
	return c
}
