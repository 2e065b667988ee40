package recipe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/internal/testkit/testclient"
)

// shared is a one-member cluster. All tests and examples that do not damage it use it.
var shared etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Around(m)) }

func newClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(),
		DialTimeout: 5 * time.Second})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, client.Close()) })
	return client
}

// sharedClient makes a client of the shared cluster, and a key for the test.
func sharedClient(tb testing.TB) (*clientv3.Client, string) {
	tb.Helper()
	return newClient(tb, shared.Endpoints()...), tb.Name()
}

func newSession(tb testing.TB, client *clientv3.Client) *concurrency.Session {
	tb.Helper()
	s, err := concurrency.NewSession(client)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func countKeys(tb testing.TB, client *clientv3.Client, pfx string) int {
	tb.Helper()
	resp, err := client.Get(tb.Context(), pfx, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(tb, err)
	return int(resp.Count)
}

func awaitKeys(tb testing.TB, client *clientv3.Client, pfx string, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		return countKeys(tb, client, pfx) == n
	}, time.Minute, 5*time.Millisecond, "%d keys under %s", n, pfx)
}

// async runs f on a goroutine and returns a channel for its result.
func async(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func result(tb testing.TB, done <-chan error) error {
	tb.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		require.Fail(tb, "it takes too long")
		return nil
	}
}

func stillWaits(tb testing.TB, done <-chan error) {
	tb.Helper()
	testclient.Throughout(tb, 100*time.Millisecond, func() bool {
		return len(done) == 0
	}, "it still waits")
}
