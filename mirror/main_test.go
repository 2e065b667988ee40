package mirror_test

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

// cluster is the server of the examples and of tests that need one.
var cluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(cluster.Around(m)) }

// How long and how often tests look whether something has happened.
const (
	waitFor = time.Minute
	tick    = time.Millisecond
)

func newClient(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}
