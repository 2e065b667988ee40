package concurrency

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/etcdfake"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/faultnet"
)

// shared is the one-member cluster of all tests and examples that do it no harm.
var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

// newClient makes a client that is closed with the test.
func newClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
		DialTimeout: 5 * time.Second})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, client.Close()) })
	return client
}

// sharedClient makes a client of the shared cluster, and a prefix for the test.
func sharedClient(tb testing.TB) (*clientv3.Client, string) {
	tb.Helper()
	return newClient(tb, shared.Endpoints()...), tb.Name() + "/"
}

// newFake starts a fake member and makes a client of it.
func newFake(tb testing.TB) (*etcdfake.Server, *clientv3.Client) {
	tb.Helper()
	s := etcdfake.Start(tb)
	return s, newClient(tb, s.Addr())
}

func put(tb testing.TB, client *clientv3.Client, key, val string) {
	tb.Helper()
	_, err := client.Put(tb.Context(), key, val)
	require.NoError(tb, err)
}

// values reads the values of keys: "" for a key that does not exist.
func values(tb testing.TB, client *clientv3.Client, keys ...string) []string {
	tb.Helper()
	vals := make([]string, len(keys))
	for i, key := range keys {
		resp, err := client.Get(tb.Context(), key)
		require.NoError(tb, err)
		if len(resp.Kvs) > 0 {
			vals[i] = string(resp.Kvs[0].Value)
		}
	}
	return vals
}

// proxied makes a client that reaches the shared cluster through a proxy. The test can make the
// proxy fail.
func proxied(tb testing.TB) (*faultnet.Proxy, *clientv3.Client) {
	tb.Helper()
	proxy := faultnet.New(tb, strings.TrimPrefix(shared.Endpoints()[0], "http://"))
	return proxy, newClient(tb, proxy.Addr())
}

// keysUnder lists keys with a prefix in the order of their creation.
func keysUnder(tb testing.TB, client *clientv3.Client, pfx string) []string {
	tb.Helper()
	resp, err := client.Get(tb.Context(), pfx, clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	require.NoError(tb, err)
	keys := make([]string, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		keys[i] = string(kv.Key)
	}
	return keys
}

// awaitKeys waits until there are n keys with a prefix.
func awaitKeys(tb testing.TB, client *clientv3.Client, pfx string, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		return len(keysUnder(tb, client, pfx)) == n
	}, time.Minute, 5*time.Millisecond, "%d keys under %s", n, pfx)
}

// inTime returns a context that ends after d.
func inTime(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

// async runs f on a goroutine and returns a channel for its result.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// result waits for the result of async.
func result(tb testing.TB, done <-chan error, within time.Duration) error {
	tb.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(within):
		require.Fail(tb, "it takes too long")
		return nil
	}
}
