package cache

import (
	"testing"

	"go.uber.org/goleak"

	"go.etcd.io/etcd/client/v3/internal/testkit/etcdtest"
)

// ExampleCluster is the server that all examples share.
var ExampleCluster etcdtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(ExampleCluster.Around(m)) }
