package clientv3

import (
	"log"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// ExampleCluster is the server that all examples share.
var ExampleCluster etcdtest.Shared

// StartExampleServer starts a server that only one example uses.
func StartExampleServer() (endpoints []string, stop func()) {
	cluster, err := etcdtest.New()
	if err != nil {
		log.Fatal(err)
	}
	return cluster.Endpoints(), func() { _ = cluster.Close() }
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(ExampleCluster.Around(m)) }

// newTestClient makes a client that is closed with the test. It logs nothing unless cfg has a
// logger. Black-box tests use testclient, which tests in this package cannot import.
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
