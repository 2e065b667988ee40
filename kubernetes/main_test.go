package kubernetes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// cluster is the one server of all tests and examples.
var cluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(cluster.Around(m)) }

func newClient(t *testing.T, endpoints ...string) *kubernetes.Client {
	t.Helper()
	c, err := kubernetes.New(clientv3.Config{Endpoints: endpoints})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}
