package namespace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// cluster is the server of all tests and examples, which run one after another.
var cluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(cluster.Around(m)) }

// How long a test waits for a condition at most, and how often it checks the condition.
const (
	waitFor = 5 * time.Second
	tick    = time.Millisecond
)

func newClient(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, c.Close()) })
	return c
}
